"""The options that the arguments of a step name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_triton.errors import ConfigurationError


def options_of_meta(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a predicting model's own meta names, or the ``config`` of a dbt Python model.

    Raises:
        ConfigurationError: there is something else than a map.
    """
    meta = args.get("meta")
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        raise ConfigurationError(
            ["it must be a map of options, such as {'on-error': 'null'}, with a colon between key and value"],
            "meta.ml_predict",
        )
    return {str(key): value for key, value in meta.items()}


def project_endpoint(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the endpoint that the project variable names for every model."""
    return {"endpoint": args["endpoint"]} if args.get("endpoint") else {}
