"""Decide which traces are kept, without letting strangers decide it."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from etl_telemetry.catalogue import RUN_TRACE_STATE

_DECIDED = context_api.create_key("etl_telemetry-sampling-decided")


def decided(context: Context, *, sampled: bool) -> Context:
    """Return ``context`` such that a root span that starts in it is sampled, or is not.

    For a trace that goes on elsewhere: who links instead of being a child is sampled as
    what it links to.
    """
    return context_api.set_value(_DECIDED, sampled, context)


class DecidedSampler(Sampler):
    """Keep what `decided` says of a root span; all else is as `inner` says."""

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision for one span."""
        sampled = context_api.get_value(_DECIDED, parent_context)
        if sampled is None or get_current_span(parent_context).get_span_context().is_valid:
            return self._inner.should_sample(
                parent_context, trace_id, name, kind, attributes, links, trace_state
            )
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
        return SamplingResult(decision, attributes if sampled else None)

    def get_description(self) -> str:
        """Return the name with its inner sampler."""
        return f"DecidedSampler({self._inner.get_description()})"


class IngressSampler(Sampler):
    """Ignore the sampling decision of whoever called over HTTP.

    With the stock parent-based sampler any client can force a trace by its
    `traceparent` header (trap 24). A server span with a remote parent is sampled
    as if it were a root; everything else, messages of our own workers included,
    as `inner` says. Nor does the caller's mark of a run make a Collector keep it.
    """

    def __init__(self, inner: Sampler, root: Sampler) -> None:
        self._inner = inner
        self._root = root

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision for one span."""
        given = (parent_context, trace_id, name, kind, attributes, links, trace_state)
        if (
            kind is not SpanKind.SERVER
            or not get_current_span(parent_context).get_span_context().is_remote
        ):
            return self._inner.should_sample(*given)
        result = self._root.should_sample(*given)
        mark, _ = RUN_TRACE_STATE
        if result.trace_state and mark in result.trace_state:
            result.trace_state = result.trace_state.delete(mark)
        return result

    def get_description(self) -> str:
        """Return the name with its inner sampler."""
        return f"IngressSampler({self._inner.get_description()})"
