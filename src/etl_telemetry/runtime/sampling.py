"""Decide which traces are kept, without letting strangers decide it."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes


class IngressSampler(Sampler):
    """Ignore the sampling decision of whoever called over HTTP.

    With the stock parent-based sampler any client can force a trace by its
    `traceparent` header (trap 24). A server span with a remote parent is sampled
    as if it were a root; everything else, messages of our own workers included,
    as `inner` says.
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
        sampler = self._inner
        if (
            kind is SpanKind.SERVER
            and get_current_span(parent_context).get_span_context().is_remote
        ):
            sampler = self._root
        return sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Return the name with its inner sampler."""
        return f"IngressSampler({self._inner.get_description()})"
