"""Tracer provider that stays the same while SDK objects come and go.

The API accepts a provider once per process tree, and other libraries cache its
tracers. So what they hold is ours, and forwards to the SDK tracer of the
current process.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util._decorator import _agnosticcontextmanager

from etl_telemetry import guard
from etl_telemetry.catalogue import SCOPE
from etl_telemetry.runtime.current import Current
from etl_telemetry.tracing import FinishedSpan

if TYPE_CHECKING:
    from etl_telemetry.runtime.batching import Batcher

_NOOP = trace.NoOpTracer()


class DelegatingTracerProvider(trace.TracerProvider):
    """Forward to the SDK tracer provider of the current process."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: object = None,
    ) -> trace.Tracer:
        """Return a tracer that outlives the SDK objects behind it."""
        scope = (
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes,
        )  # fmt: skip
        return DelegatingTracer(self._current, scope)

    def emit_finished_span(self, span: FinishedSpan) -> None:
        """Hand out a span whose ids and times are already known.

        It bypasses the sampler (the caller's context says whether it is sampled)
        and `on_start` processors.
        """
        signals = self._current.get()
        provider = None if signals is None else signals.traces
        if provider is None or not span.context.trace_flags.sampled:
            return
        with guard.absorb("emitting a finished span"):
            provider._active_span_processor.on_end(_readable(span, provider))


class DelegatingTracer(trace.Tracer):
    """Forward to the SDK tracer of the current process; look it up again after a rebuild."""

    __slots__ = ("_bound_to", "_current", "_real", "_scope")

    def __init__(self, current: Current, scope: tuple[object, ...]) -> None:
        self._current = current
        self._scope = scope
        self._bound_to: object = self  # Like no signals: bind at the first span.
        self._real: trace.Tracer = _NOOP

    def _tracer(self) -> trace.Tracer:
        if self._current.signals is not self._bound_to:
            signals = self._current.get()
            provider = None if signals is None else signals.traces
            self._real = _NOOP if provider is None else provider.get_tracer(*self._scope)  # type: ignore[arg-type]
            self._bound_to = signals
        return self._real

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: object = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Start a span with the SDK tracer of this process."""
        return self._tracer().start_span(
            name, context, kind, attributes, links, start_time,  # type: ignore[arg-type]
            record_exception, set_status_on_exception,
        )  # fmt: skip

    def start_as_current_span(  # type: ignore[override]
        self, *args: object, **kwargs: object
    ) -> AbstractContextManager[trace.Span]:
        """Start a span and make it current; also a decorator, as the API promises."""
        return _current_span(self, args, kwargs)


@_agnosticcontextmanager
def _current_span(tracer: DelegatingTracer, args: tuple[object, ...], kwargs: dict[str, object]):  # type: ignore[no-untyped-def]
    # The SDK tracer is looked up when the block is entered: as a decorator this
    # object may have been made before a fork.
    with tracer._tracer().start_as_current_span(*args, **kwargs) as span:  # type: ignore[arg-type]
        yield span


class SpanOutlet(SpanProcessor):
    """Queue every sampled span that ends."""

    def __init__(self, batcher: Batcher[ReadableSpan]) -> None:
        self._add = batcher.add

    def on_end(self, span: ReadableSpan) -> None:
        """Queue `span` if it is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._add(span)


def _readable(span: FinishedSpan, provider: TracerProvider) -> ReadableSpan:
    status = Status(StatusCode.ERROR, span.error) if span.error is not None else Status()
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=provider.resource,
        attributes=span.attributes,
        links=span.links,
        kind=span.kind,
        status=status,
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope(SCOPE),
    )
