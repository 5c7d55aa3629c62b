"""The life of a span: started, current, ended. Everything in this room goes through here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from etl_telemetry import guard
from etl_telemetry.tracing.arguments import Arguments
from etl_telemetry.tracing.exceptions import record_exception
from etl_telemetry.tracing.place import Place
from etl_telemetry.tracing.settings import tracer
from etl_telemetry.values import AttributeValue


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of the spans of a function before it is called."""

    name: str
    """Name of the span."""
    kind: SpanKind = SpanKind.INTERNAL
    """Kind of the span."""
    attributes: Mapping[str, AttributeValue] | None = None
    """Attributes that are the same for every call; legal values."""
    arguments: Arguments | None = None
    """Reads the arguments of a call; None: they are not recorded."""

    def start(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Span | None:
        """Start a span, or return None where there is nothing to make current.

        That is without a provider, and where starting failed. A span that is not
        sampled is returned: what happens inside must not be sampled either.
        """
        with guard.absorb("starting a span"):
            span = tracer().start_span(self.name, kind=self.kind, attributes=self.attributes)
            if span.is_recording():
                if self.arguments is not None:
                    span.set_attributes(self.arguments.read(args, kwargs))
                return span
            if span.get_span_context().is_valid and span is not trace.get_current_span():
                return span
        return None


class Block:
    """One call: its span is current inside of the block."""

    __slots__ = ("_place", "_span")

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self._place: Place | None = None

    def __enter__(self) -> None:
        if self._span is not None:
            self._place = Place(trace.set_span_in_context(self._span))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._place is not None:
            self._place.leave()
        if self._span is not None:
            end(self._span, error)


class Steps:
    """One run of a generator: its span lasts from the first step to the end.

    It is current only while the generator's own body runs: the step that the block
    gets is entered for each resumption, in whatever context the consumer is then.
    What the body made current inside is there again at the next step.
    """

    __slots__ = ("_span", "_step")

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self._step = Step(None if span is None else trace.set_span_in_context(span))

    def __enter__(self) -> Step:
        return self._step

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._span is not None:
            end(self._span, error)


class Step:
    """The time in which a generator's own body runs."""

    __slots__ = ("_context", "_place")

    def __init__(self, context: context_api.Context | None) -> None:
        self._context = context
        self._place: Place | None = None

    def __enter__(self) -> None:
        if self._context is not None:
            self._place = Place(self._context)

    def __exit__(self, *_: object) -> None:
        if self._place is not None:
            self._context = context_api.get_current()
            self._place.leave()


def end(span: Span, error: BaseException | None) -> None:
    """End a span, with the error that ended what it describes."""
    with guard.absorb("ending a span"):
        if error is not None:
            record_exception(span, error)
        span.end()
