"""A sampler of the OpenTelemetry SDK that keeps a part of the requests, and every run and call.

The SDK's own ratio decides by the trace, and a run is one trace: it keeps all of a million requests, or none.
``OTEL_TRACES_SAMPLER=dbt_triton_requests`` with ``OTEL_TRACES_SAMPLER_ARG=0.01`` keeps one in a hundred.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, get_current_span

from dbt_triton.instrumentation.measures import MODEL

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, TraceState
    from opentelemetry.util.types import Attributes

logger = logging.getLogger("dbt_triton.instrumentation")

NAME = "dbt_triton_requests"


class RequestsSampler(Sampler):
    """Keeps a part of the requests, and of everything else what its parent says.

    Args:
        ratio: from 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._others = ParentBased(ALWAYS_ON)

    def should_sample(  # noqa: PLR0913, PLR0917 - the SDK's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about one span."""
        is_request = kind == SpanKind.CLIENT and attributes is not None and MODEL in attributes
        if is_request and random.random() >= self._ratio:  # noqa: S311 - which ones are kept is no secret
            return SamplingResult(Decision.DROP, None, get_current_span(parent_context).get_span_context().trace_state)
        return self._others.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return what it is called by."""
        return f"RequestsSampler{{{self._ratio}}}"


def requests_sampler(argument: float | str | None) -> Sampler:
    """Make the sampler of ``OTEL_TRACES_SAMPLER_ARG``; all requests are kept where that is no number from 0 to 1."""
    try:
        ratio = 1.0 if argument in {None, ""} else float(argument)  # type: ignore[arg-type]
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        logger.warning("OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1: every request has a span")
        ratio = 1.0
    return RequestsSampler(ratio)
