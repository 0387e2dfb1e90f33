"""Secrets in the ``config`` of a Python model: dbt-duckdb prints the lines of a model that fails, whatever fails."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Mapping

from dbt_triton.credentials import MASK, SECRET_KEYS, mask_text
from dbt_triton.errors import ConfigurationError
from dbt_triton.flink_options import translated
from dbt_triton.header_values import headers
from dbt_triton.options import KEYS


def check_config(config: object, name: str) -> None:
    """Refuse literal tokens and headers, and keep lines on which one may stand out of the traceback.

    Args:
        config: as it was given to `ml_predict`.
        name: of the model.

    Raises:
        ConfigurationError: naming the options, and none of what is written there.
    """
    subject = f"config of ml_predict in {name}"
    if config is None:
        return
    if not isinstance(config, Mapping):
        _hide_sources_of_callers()
        raise ConfigurationError(['write options and their values, such as {"batch-size": 64}'], subject)
    if not all(isinstance(key, str) for key in config):
        _hide_sources_of_callers()
        raise ConfigurationError(["the name of an option is a text"], subject)
    # A misspelt name may be that of a token, and a URL may hold a password.
    if any(key not in KEYS or key in {"endpoint", *SECRET_KEYS} for key in config):
        _hide_sources_of_callers()
    found = [key for key, value in translated(config).items() if _is_literal_secret(key, value)]
    if found:
        raise ConfigurationError(
            [f"{key}: write ${{NAME}}, which is read from the environment, not a literal" for key in found], subject
        )


def _is_literal_secret(key: str, value: object) -> bool:
    if key not in SECRET_KEYS or value is None:
        return False
    if key == "custom-headers":
        try:
            value = headers(value)
        except ValueError:
            return False  # the check of all options says why
    values = value.values() if isinstance(value, Mapping) else [value]
    return any(mask_text(str(one)) == MASK for one in values)


def _hide_sources_of_callers() -> None:
    """Leave the lines of the model, and of what else of a user's has called us, out of tracebacks.

    A traceback reads its lines from `linecache`, which keeps those that have no time of change.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - there is no other way to the callers
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith("dbt."):
        if not str(frame.f_globals.get("__name__")).startswith("dbt_triton."):
            linecache.cache[frame.f_code.co_filename] = (0, None, [], frame.f_code.co_filename)
        frame = frame.f_back  # type: ignore[assignment]
