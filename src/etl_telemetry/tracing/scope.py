"""`span()`: a span around a block."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from etl_telemetry.tracing.blocks import Block, Plan
from etl_telemetry.tracing.guarded import GuardedSpan
from etl_telemetry.tracing.names import span_attributes, span_kind, span_name


def span(
    name: str,
    /,
    *,
    attributes: Mapping[str, object] | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    **named_attributes: object,
) -> Scope:
    """Put a span around a block; it is current inside.

    Attributes come by keyword, their names as they are written, or by `attributes`,
    where names have dots. Values of any type are made legal, never refused; None is
    left out. An exception that leaves the block is recorded and raised on.

    The block gets the span, to set more attributes on.

    >>> with span("read file", attributes={"file.name": "flights.csv"}, rows=3) as current:
    ...     current.set_attribute("rows_rejected", 1)
    """
    return Scope(name, kind, attributes, named_attributes)


class Scope:
    """What `span()` returns: a context manager; entered again, it is another span."""

    __slots__ = ("_attributes", "_blocks", "_kind", "_name", "_named")

    def __init__(
        self, name: object, kind: object, attributes: object, named: Mapping[str, object]
    ) -> None:
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._named = named
        self._blocks: dict[int, Block] = {}

    def __enter__(self) -> Span:
        current: Span = INVALID_SPAN
        name = self._name if type(self._name) is str and self._name else span_name(self._name)
        started = Plan(name=name, kind=span_kind(self._kind)).start((), {})
        if started is not None:
            current = GuardedSpan(started)
            if started.is_recording():
                self._describe(current)
        if started is not None:
            block = self._blocks[id(started)] = Block(started)
            block.__enter__()
        return current

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        # Threads and tasks may share the object: each ends the span that is current for it.
        block = self._blocks.pop(id(trace.get_current_span()), None)
        if block is None and self._blocks:  # Closed elsewhere: the last one.
            block = self._blocks.popitem()[1]
        if block is not None:
            block.__exit__(kind, error, tb)

    def _describe(self, current: Span) -> None:
        if self._attributes is not None:
            current.set_attributes(span_attributes(self._attributes))
        if self._named:
            current.set_attributes(span_attributes(self._named))
