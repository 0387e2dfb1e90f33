"""What other systems' CREATE MODEL and ML_PREDICT call an option that is called otherwise here, or that is not needed.

Source: the option classes of Flink's Triton function and of its ML_PREDICT, 2.1 to 2.4, and Confluent's manual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dbt_triton.option_maps import spread

_CONNECTIONS = (
    "connections are kept and used again, one for each request in flight; max-concurrent-operations limits them"
)
_BREAKER = (
    "a server that is away is always waited for, with one request at a time; circuit-breaker-timeout says how long"
)
_ASYNC = (
    "requests are always sent without waiting for one another; 'max-concurrent-operations' = '1' sends one at a time"
)
_HEALTH = "requests notice a server that is away, and wait for it"

#: Options without a meaning here, and why that is so.
NOT_NEEDED: dict[str, str] = {
    "async": _ASYNC,
    "async-enabled": _ASYNC,
    "output-mode": "a table has no order; every prediction stands in the row that it was made of",
    "flatten-batch-dim": "the server's metadata says which shape a tensor has",
    "sequence-id-counter-init-strategy": "the ids count from 0 in every run",
    "health-check-enabled": _HEALTH,
    "health-check-interval": _HEALTH,
    "circuit-breaker-enabled": _BREAKER,
    "circuit-breaker-failure-threshold": _BREAKER,
    "circuit-breaker-half-open-requests": _BREAKER,
    "connection-reuse-enabled": _CONNECTIONS,
    "connection-pool-max-idle": _CONNECTIONS,
    "connection-pool-max-total": _CONNECTIONS,
    "connection-pool-keep-alive": _CONNECTIONS,
    "connection-pool-monitoring-enabled": "DBT_TRITON_LOG=debug shows every request",
}
_POOL_PREFIX = "connection-pool-"
#: Flink takes an option that is a map as one text, or with an option for each of its keys.
_HEADERS = "custom-headers"
_HEADER_PREFIX = f"{_HEADERS}."
#: Options that are called otherwise here.
RENAMED: dict[str, str] = {
    "max-parallelism": "max-concurrent-operations",
    "capacity": "max-concurrent-operations",
    "retry-count": "max-retries",
    "client-timeout": "timeout",
}
#: Those of them whose bare number is seconds.
_IN_SECONDS = {"client-timeout"}
#: Options of the language models that Flink has providers for, which mean nothing to Triton's.
_OF_OTHER_PROVIDERS = frozenset(
    {
        "api-key",
        "context-overflow-action",
        "dimension",
        "error-handling-strategy",
        "max-context-size",
        "model",
        "retry-fallback-strategy",
        "retry-num",
    }
)
_IN_SQL = (
    "Triton gives the prompt to the model as it is, with no chat template that would tell instructions from it; write "
    "them in SQL, before the prompt: 'You are a curt librarian. ' || question as prompt"
)
#: Those that would be wanted here, and what to write in their place.
REFUSED: dict[str, str] = {"system-prompt": _IN_SQL, "systemprompt": _IN_SQL}
#: How their keys begin elsewhere.
_PREFIXES = ("openai.", "azureopenai.", "azureml.", "bedrock.", "sagemaker.", "googleai.", "vertexai.", "deepseek.")

#: Every name of this module that may stand as an option.
NAMES = frozenset(NOT_NEEDED) | frozenset(RENAMED) | frozenset(REFUSED) | _OF_OTHER_PROVIDERS


def _name(key: str) -> str:
    """Return a key in Flink's spelling; Confluent has ``async_enabled``."""
    return key.replace("_", "-")


def _is_not_needed(key: str) -> bool:
    return _name(key) in NOT_NEEDED or _name(key).startswith(_POOL_PREFIX)


def is_of_another_provider(key: str) -> bool:
    """Tell whether an option is one of a language model's."""
    name = _name(key).lower()
    return name in _OF_OTHER_PROVIDERS or name.startswith(_PREFIXES)


def is_refused(key: str) -> bool:
    """Tell whether an option is one of a language model's that has to be written otherwise."""
    return _name(key).lower() in REFUSED


def refused(keys: Iterable[str]) -> list[str]:
    """Say what to write in place of options that have to be written otherwise."""
    return [f"{key}: {REFUSED[_name(key).lower()]}" for key in keys if is_refused(key)]


def translated(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they are called here: without those that are not needed, and with what they imply.

    A ``default-value`` by itself means ``on-error`` = ``null``, as in Flink. Of two names of one option the later wins.
    ``custom-headers.X-Team`` is a header, where there is no ``custom-headers``; a map by column is spread out.
    """
    raw = spread(raw)
    options: dict[str, Any] = {}
    in_one = _HEADERS in raw
    for key, value in raw.items():
        if key.startswith(_HEADER_PREFIX) and not in_one:
            options.setdefault(_HEADERS, {})[key.removeprefix(_HEADER_PREFIX)] = value
            continue
        name = RENAMED.get(_name(key))
        if name is not None:
            seconds = _name(key) in _IN_SECONDS and isinstance(value, str | int) and str(value).strip().isdecimal()
            options[name] = f"{value}s" if seconds else value
        elif not _is_not_needed(key):
            options[key] = value
    if "default-value" in options and "on-error" not in options:
        options["on-error"] = "null"
    return options


def reasons_not_needed(keys: Iterable[str]) -> list[str]:
    """Say which of some options are accepted and do nothing, and why: one sentence for each reason."""
    by_reason: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        if _is_not_needed(key):
            by_reason.setdefault(NOT_NEEDED.get(_name(key), _CONNECTIONS), []).append(key)
    return [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
