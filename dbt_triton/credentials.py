"""Secrets: where they may stand, how they are hidden, and when they are read.

A literal token or header value never reaches the warehouse or a log. ``${NAME}`` stays as it is everywhere and is
read from the environment only when a request is about to be sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from dbt_triton.errors import ConfigurationError
from dbt_triton.foreign_text import MASK, remember_secrets
from dbt_triton.header_values import NOT_IN_HEADERS, bare_token
from dbt_triton.options import PREFIXES, SHAPE_PREFIX, Options

__all__ = ["MASK", "SECRET_KEYS", "is_masked", "mask_options", "mask_text", "request_headers"]

SECRET_KEYS = ("auth-token", "custom-headers")
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def mask_text(value: str) -> str:
    """Hide a text, unless it is made of nothing but ``${NAME}`` (and an optional ``Bearer``)."""
    rest = _PLACEHOLDER.sub("", re.sub(r"^bearer\s+", "", value, flags=re.IGNORECASE))
    return value if _PLACEHOLDER.search(value) and not rest.strip() else MASK


def mask_options(options: Options) -> dict[str, Any]:
    """Return all options as a user writes them, defaults too, with every literal secret hidden."""
    shown = options.model_dump(by_alias=True, exclude=set(PREFIXES))
    for key in ("batch-size", "binary-data", "max-concurrent-operations", "max-response-bytes"):
        shown[key] = "auto" if shown[key] is None else shown[key]
    if "timeout" not in options.model_fields_set:
        shown["timeout"] = "auto"  # the route decides, which the server says
    if options.auth_token is not None:
        shown["auth-token"] = mask_text(options.auth_token)
    shown["custom-headers"] = {name: mask_text(value) for name, value in options.custom_headers.items()}
    for field, prefix in PREFIXES.items():
        shown |= {prefix + name: value for name, value in getattr(options, field).items()}
    shown |= {SHAPE_PREFIX + name: list(lengths) for name, lengths in options.shapes.items()}
    return {key: value for key, value in shown.items() if value is not None}


def is_masked(raw: Mapping[str, Any]) -> bool:
    """Tell whether options read back from a metadata row lack a literal secret."""
    headers = raw.get("custom-headers") or {}
    return raw.get("auth-token") == MASK or MASK in dict(headers).values()


def request_headers(options: Options, subject: str) -> dict[str, str]:
    """Return the headers that the options ask for, with ``${NAME}`` read from the environment now.

    What is read is masked from now on, wherever words that are not ours repeat it; whoever sends the headers has them
    masked as a whole.

    Raises:
        ConfigurationError: a variable is not set, named with the option that wants it; or a value holds the mask that
            stands for a literal one, which is sent nowhere.
    """
    problems: list[str] = []

    def expand(key: str, value: str) -> str:
        names = _PLACEHOLDER.findall(value)
        problems.extend(
            f"{key} needs the environment variable {name}, which {'is blank' if os.environ.get(name) else 'is not set'}"
            for name in names
            if not os.environ.get(name, "").strip()
        )
        remember_secrets(os.environ.get(name, "") for name in names)
        expanded = _PLACEHOLDER.sub(lambda match: os.environ.get(match[1], ""), value)
        if MASK in expanded:
            problems.append(
                f"{key} holds {MASK}, which stands for a literal value that is not kept in the warehouse and cannot be "
                "found from here; write ${NAME}, which is read from the environment, in the inference model"
            )
        return expanded

    headers = {name: expand(f"custom-headers ({name})", value) for name, value in options.custom_headers.items()}
    if options.auth_token is not None:
        known = len(problems)
        expanded = expand("auth-token", options.auth_token)
        try:
            headers["Authorization"] = f"Bearer {bare_token(expanded)}"
        except ValueError as error:
            if len(problems) == known:
                names = ", ".join(dict.fromkeys(_PLACEHOLDER.findall(options.auth_token)))
                problems.append(f"auth-token, read from the environment variable {names}: {error}")
    problems.extend(
        f"the value of the header {name} holds a control character, or one that is not ASCII"
        for name, value in headers.items()
        if NOT_IN_HEADERS.search(value)
    )
    if problems:
        raise ConfigurationError(problems, subject)
    return headers
