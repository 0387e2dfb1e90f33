"""Hooks for whoever watches runs: OpenTelemetry, Prometheus, `dbt-triton tune`. None is installed by itself.

A hook is told of each ML_PREDICT call, and gives an observer of it. The observer is told of each attempt of a request,
whose headers it may add to, and of what else happens. Where there is no hook, a request pays one truth test.

Nothing is imported here but the standard library: every client has this module. No text of a user's, no text of a
server's and no secret is ever passed to a hook: only names, numbers and reasons.
"""

from dbt_triton.instrumentation.calls import (
    Calling,
    call_for_tasks,
    call_observed,
    event,
    flush,
    install,
    installed,
    observers,
    observing,
    reason_word,
    uninstall,
)
from dbt_triton.instrumentation.hooks import (
    NO_HEADERS,
    Attempt,
    AttemptEnd,
    Call,
    CallEnd,
    CallObserver,
    Hook,
    Request,
    Target,
)
from dbt_triton.instrumentation.invocation import Invocation
from dbt_triton.instrumentation.place import node, place, set_model, step_of

__all__ = [
    "NO_HEADERS",
    "Attempt",
    "AttemptEnd",
    "Call",
    "CallEnd",
    "CallObserver",
    "Calling",
    "Hook",
    "Invocation",
    "Request",
    "Target",
    "call_for_tasks",
    "call_observed",
    "event",
    "flush",
    "install",
    "installed",
    "node",
    "observers",
    "observing",
    "place",
    "reason_word",
    "set_model",
    "step_of",
    "uninstall",
]
