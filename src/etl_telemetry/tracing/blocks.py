"""The life of a span: started, current, ended. Everything in this room goes through here."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

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

    It is current only while the generator's own body runs: `step` is entered for
    each resumption, in whatever context the consumer is then. What the body made
    current inside is there again at the next step.
    """

    __slots__ = ("_span", "step")

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self.step = Step(None if span is None else trace.set_span_in_context(span))

    def __enter__(self) -> Self:
        return self

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


class Slices:
    """Await something in the context of a generator's body, which is current while it runs only.

    Not while it waits: an async generator that the garbage collector finalizes without
    an event loop is left there for good, in whatever context the collector ran.
    """

    __slots__ = ("_inner", "_step")

    def __init__(self, awaitable: Awaitable[Any], step: Step) -> None:
        # What `asend` and `athrow` return has these methods (PEP 525).
        self._inner = awaitable.__await__()
        self._step = step

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Go on with what was waited for."""
        with self._step:
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error: a cancellation, for one."""
        with self._step:
            return self._inner.throw(*error)

    def close(self) -> None:
        """Wait no more."""
        with self._step:
            self._inner.close()


class Thrown:
    """Catch what a consumer throws into a generator, to hand it on to the body.

    A `with` rather than an `except`: outside of the handler the exception has the
    context that it would have without us.
    """

    __slots__ = ("_error",)

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        self._error = error
        return True

    def take(self) -> BaseException | None:
        """Return what was thrown, and forget it: it holds the consumer's frames."""
        error, self._error = self._error, None
        return error


def end(span: Span, error: BaseException | None) -> None:
    """End a span, with the error that ended what it describes."""
    with guard.absorb("ending a span"):
        if error is not None:
            record_exception(span, error)
        span.end()
