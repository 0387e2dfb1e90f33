"""What dbt itself knows of the model that runs in this thread, where a step is not told.

dbt is at work already where a step runs, so nothing is imported: what it has loaded is asked. Where no dbt is at work,
or one that has other insides, the answers are empty.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from dbt_triton.errors import ConfigurationError
from dbt_triton.foreign_text import shown


def node_id() -> str | None:
    """Return the unique id of the node that this thread runs."""
    try:
        found = _loaded("dbt_common.events.contextvars").get_node_info().get("unique_id")
    except Exception:  # noqa: BLE001 - another dbt
        return None
    return str(found) if found else None


def invocation_id() -> str | None:
    """Return the id of the dbt invocation."""
    try:
        return str(_loaded("dbt_common.invocation").get_invocation_id())
    except Exception:  # noqa: BLE001 - another dbt
        return None


def listen(callback: Callable[[Any], None]) -> bool:
    """Let dbt call a function with each of its events; tell whether it will. dbt forgets it with the invocation."""
    try:
        manager = _loaded("dbt_common.events.event_manager_client").get_event_manager()
        if callback not in manager.callbacks:
            manager.add_callback(callback)
    except Exception:  # noqa: BLE001 - another dbt
        return False
    return node_id() is not None


def variable(name: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Return a variable of the project, as ``var()`` in the model would: of the command line, its package, or all."""
    try:
        config = _config()
        said: Mapping[str, Any] = config.vars.to_dict()
        package = str(node_id() or "").split(".")[1:2]
        places = [dict(config.cli_vars or {}), *(said.get(one) or {} for one in package), said]
    except Exception:  # noqa: BLE001 - another dbt
        return default
    return next((place[name] for place in places if isinstance(place, Mapping) and name in place), default)


def name_in_variable(name: str) -> str | None:
    """Return a name that a variable of the project says; None where it says none.

    Raises:
        ConfigurationError: it is a list, a map, or true or false.
    """
    said = variable(name)
    if said is None or (isinstance(said, str | int | float) and not isinstance(said, bool)):
        return None if said is None else str(said)
    raise ConfigurationError([f"it must be a name, not {shown(said)}"], f"the variable {name}")


def target() -> tuple[str | None, str | None]:
    """Return the database and the schema of the target."""
    try:
        credentials = _config().credentials
        found = credentials.database, credentials.schema
    except Exception:  # noqa: BLE001 - another dbt
        return None, None
    return found


def _config() -> Any:  # noqa: ANN401 - dbt's RuntimeConfig
    adapters = _loaded("dbt.adapters.factory").FACTORY.adapters
    return next(iter(adapters.values())).config


def _loaded(module: str) -> Any:  # noqa: ANN401 - a module
    return sys.modules[module]
