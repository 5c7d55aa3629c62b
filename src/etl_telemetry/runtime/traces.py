"""Tracer provider that stays the same while SDK objects come and go.

The API accepts a provider once per process tree, and other libraries cache its
tracers. So what they hold is ours, and forwards to the SDK tracer of the
current process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util._decorator import _agnosticcontextmanager

from etl_telemetry import guard
from etl_telemetry.catalogue import SCOPE
from etl_telemetry.runtime.current import Current, Queue, Signals
from etl_telemetry.tracing import FinishedSpan
from etl_telemetry.values import AttributeValue

Brief = tuple[Callable[[ReadableSpan], None], Resource, Callable[[], int]]
"""Where a span goes, the resource that it has, and what makes its id."""
_NOOP = trace.NoOpTracer()
_ATTRIBUTES = 32
"""No brief span has more attributes."""
_OUR_SCOPE = InstrumentationScope(SCOPE)


class DelegatingTracerProvider(trace.TracerProvider):
    """Forward to the SDK tracer provider of the current process."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._bound_to: Signals | None = None
        self._brief: Brief | None = None

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        """Return a tracer that outlives the SDK objects behind it."""
        return DelegatingTracer(
            self._current,
            (instrumenting_module_name, instrumenting_library_version, schema_url, attributes),
        )

    def emit_finished_span(self, span: FinishedSpan) -> None:
        """Hand out a span whose ids and times are already known.

        It bypasses the sampler (the caller's context says whether it is sampled)
        and what other processors do at a span's start.
        """
        signals = self._current.get()
        if signals is None or signals.traces is None or signals.finished is None:
            return
        if span.context.trace_flags.sampled:
            with guard.absorb("emitting a finished span"):
                signals.finished(_readable(span, signals.traces))

    def emit_child_span(
        self,
        parent: trace.SpanContext,
        name: str,
        kind: trace.SpanKind,
        times: tuple[int, int],
        attributes: Mapping[str, AttributeValue],
    ) -> bool:
        """Queue a span that is over and clean, without the SDK's tracer (`tracing.emit_child`)."""
        # Hot path: for each query of a request.
        signals = self._current.signals
        if signals is not self._bound_to:
            self._brief, self._bound_to = _brief(signals), signals
        brief = self._brief
        if brief is None or not parent.trace_flags.sampled:
            return False
        add, resource, make_id = brief
        context = trace.SpanContext(
            parent.trace_id,
            make_id(),
            is_remote=False,
            trace_flags=parent.trace_flags,
            trace_state=parent.trace_state,
        )
        start, end = times
        add(
            ReadableSpan(
                name, context, parent, resource, attributes, kind=kind,
                start_time=start, end_time=end, instrumentation_scope=_OUR_SCOPE,
            )
        )  # fmt: skip
        return True


class DelegatingTracer(trace.Tracer):
    """Forward to the SDK tracer of the current process; look it up again after a rebuild."""

    def __init__(self, current: Current, scope: tuple[Any, ...]) -> None:
        self._current = current
        self._scope = scope
        self._bound_to: object = self  # Like no signals: bind at the first span.
        self._real: trace.Tracer = _NOOP

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        """Start a span with the SDK tracer of this process."""
        if self._current.signals is not self._bound_to:
            self._bind()
        return self._real.start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> _SpanBlock:  # type: ignore[override]
        """Start a span and make it current; also a decorator, as the API promises."""
        return _SpanBlock(self, args, kwargs)

    def real(self) -> trace.Tracer:
        """Return the SDK tracer of this process."""
        if self._current.signals is not self._bound_to:
            self._bind()
        return self._real

    def _bind(self) -> None:
        signals = self._current.get()
        provider = None if signals is None else signals.traces
        # The tracer before the mark: a thread that sees the mark must find the tracer.
        self._real = _NOOP if provider is None else provider.get_tracer(*self._scope)
        self._bound_to = signals


class _SpanBlock:
    """Ask for the SDK tracer when the block is entered: as a decorator it may cross a fork.

    A class, not a generator: it stands around every span.
    """

    __slots__ = ("_args", "_block", "_kwargs", "_tracer")

    def __init__(
        self, tracer: DelegatingTracer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._tracer = tracer
        self._args = args
        self._kwargs = kwargs

    def __enter__(self) -> trace.Span:
        self._block = self._tracer.real().start_as_current_span(*self._args, **self._kwargs)
        return self._block.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool | None:
        return self._block.__exit__(kind, error, tb)

    def __call__(self, function: Any) -> Any:
        return _decorator(self._tracer, self._args, self._kwargs)(function)


@_agnosticcontextmanager
def _decorator(
    tracer: DelegatingTracer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[trace.Span]:
    with _SpanBlock(tracer, args, kwargs) as span:
        yield span


class SpanOutlet(SpanProcessor):
    """Queue every sampled span that ends."""

    def __init__(self, way: Queue[ReadableSpan]) -> None:
        self._add = way.add

    def on_end(self, span: ReadableSpan) -> None:
        """Queue `span` if it is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._add(span)


def _brief(signals: Signals | None) -> Brief | None:
    """Return where a span goes that nothing but the gate would look at; None: there is more.

    Baggage that becomes attributes, and limits that somebody has set, are the SDK's business.
    """
    if signals is None or signals.traces is None or signals.spans is None:
        return None
    limits = signals.traces._span_limits  # noqa: SLF001 - it has no other way
    processors = signals.traces._active_span_processor._span_processors  # noqa: SLF001 - as above
    is_plain = (
        len(processors) == 1
        and limits.max_span_attribute_length is None
        and (limits.max_span_attributes is None or limits.max_span_attributes >= _ATTRIBUTES)
    )
    if not is_plain:
        return None
    return signals.spans.add, signals.traces.resource, signals.traces.id_generator.generate_span_id


def _readable(span: FinishedSpan, provider: TracerProvider) -> ReadableSpan:
    status = Status() if span.error is None else Status(StatusCode.ERROR, span.error)
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
        instrumentation_scope=_OUR_SCOPE,
    )
