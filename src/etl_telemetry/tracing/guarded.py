"""The span that applications get: it takes any value and never raises."""

from __future__ import annotations

from opentelemetry.trace import Span, SpanContext, Status, StatusCode

from etl_telemetry import guard, values
from etl_telemetry.catalogue import DropReason
from etl_telemetry.tracing.exceptions import MAX_DESCRIPTION, record_exception
from etl_telemetry.tracing.names import span_attributes, span_name


class GuardedSpan(Span):
    """Hand on to a span, with values made legal first.

    The SDK's span logs a warning while it holds its lock when it meets a value that
    it does not know (trap 2), and raises what the value's `__str__` raises.
    """

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def get_span_context(self) -> SpanContext:
        """Return its ids."""
        return self._span.get_span_context()

    def is_recording(self) -> bool:
        """Tell whether it takes attributes and events: not unsampled, nor ended."""
        return self._span.is_recording()

    def set_attribute(self, key: object, value: object) -> None:
        """Set one attribute; None is left out."""
        with guard.absorb("setting an attribute"):
            self.set_attributes({key: value})

    def set_attributes(self, attributes: object) -> None:
        """Set attributes; None values are left out."""
        with guard.absorb("setting attributes"):
            if self._span.is_recording():
                self._span.set_attributes(span_attributes(attributes))

    def add_event(self, name: object, attributes: object = None, timestamp: object = None) -> None:
        """Add an event; `timestamp` in Unix nanoseconds, None is now."""
        with guard.absorb("adding an event"):
            if self._span.is_recording():
                when = values.count(timestamp)
                self._span.add_event(span_name(name), span_attributes(attributes), when)

    def add_link(self, context: object, attributes: object = None) -> None:
        """Link to another span."""
        with guard.absorb("adding a link"):
            if not isinstance(context, SpanContext):
                guard.drop(DropReason.INVALID_VALUE, detail="a link must be a SpanContext")
            elif self._span.is_recording():
                self._span.add_link(context, span_attributes(attributes))

    def update_name(self, name: object) -> None:
        """Rename it."""
        with guard.absorb("renaming a span"):
            if self._span.is_recording():
                self._span.update_name(span_name(name))

    def set_status(self, status: object, description: object = None) -> None:
        """Set the status; a description belongs to an error only."""
        with guard.absorb("setting a status"):
            code, said = (
                (status.status_code, status.description if description is None else description)
                if isinstance(status, Status)
                else (status, description)
            )
            if not isinstance(code, StatusCode):
                guard.drop(DropReason.INVALID_VALUE, detail="a status must be a StatusCode")
            elif self._span.is_recording():
                is_error = code is StatusCode.ERROR and said is not None
                text = values.text(said, limit=MAX_DESCRIPTION) if is_error else None
                self._span.set_status(Status(code, text))

    def record_exception(
        self,
        exception: BaseException,
        attributes: object = None,
        timestamp: object = None,  # noqa: ARG002 - the API's signature; it is recorded now
        escaped: object = False,  # noqa: ARG002, FBT002 - the API's signature; deprecated there
    ) -> None:
        """Record an exception: status, `error.type` and one event with redacted text."""
        record_exception(self._span, exception)
        if attributes is not None:
            self.set_attributes(attributes)

    def end(self, end_time: object = None) -> None:
        """End it before the block does; `end_time` in Unix nanoseconds, None is now."""
        with guard.absorb("ending a span"):
            if self._span.is_recording():
                self._span.end(values.count(end_time))
