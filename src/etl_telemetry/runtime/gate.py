"""The last gate before a span leaves the process: what holds data is redacted, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Status

from etl_telemetry import guard, redaction
from etl_telemetry.redaction import Policy, Rule, Where

_MAX_KEYS = 10_000
"""Attribute keys that are remembered; those past it are looked up every time."""
_MAX_DESCRIPTION = 1_024

Attributes = Mapping[str, object]


class Gate(SpanProcessor):
    """Hand spans on to another processor, without the data that they should not carry.

    Instrumentors write statements with values, URLs with tokens and exceptions with
    rows (traps 19, 22, 23), each its own way. They are cleaned here, once, where
    they all pass. A span that holds nothing of the kind passes as it is; one whose
    cleaning fails does not pass at all.
    """

    def __init__(self, wrapped: SpanProcessor, *, policy: Policy) -> None:
        self._wrapped = wrapped
        self._policy = policy
        # Keys that need no rule: one look at a set settles most spans.
        self._harmless: set[str] = set()
        self._rules: dict[str, Rule] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand on a span that starts."""
        self._wrapped.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand on a span that ended, cleaned."""
        with guard.absorb("redacting a span"):
            self._wrapped.on_end(self.clean(span))

    def shutdown(self) -> None:
        """Shut down the wrapped processor."""
        self._wrapped.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped processor within `timeout_millis`."""
        return self._wrapped.force_flush(timeout_millis)

    def clean(self, span: ReadableSpan) -> ReadableSpan:
        """Return the span, or a redacted copy where it holds data."""
        attributes: Attributes = span.attributes or {}
        status = span.status
        if (
            status.description is None
            and not span._events  # noqa: SLF001 - `events` copies; this is asked of every span
            and self._harmless.issuperset(attributes)
        ):
            return span
        events, attributes = span.events, _copy(attributes)
        where = Where(policy=self._policy, system=redaction.system(attributes))
        kept = self._attributes(attributes, where)
        kept_events = self._events(events, where)
        kept_status = self._status(status)
        name = redaction.span_name(span.name, kept, where)
        if (
            kept is attributes
            and kept_events is events
            and kept_status is status
            and name == span.name
        ):
            return span
        return _Copy(span, name=name, attributes=kept, events=kept_events, status=kept_status)

    def _attributes(self, attributes: Attributes, where: Where) -> Attributes:
        """Return the same mapping where nothing changes."""
        changed: dict[str, object] = {}
        for key in attributes:
            if key not in self._harmless and (rule := self._rule(key)) is not None:
                value = attributes[key]
                redacted = rule(value, where)
                if redacted != value:
                    changed[key] = redacted
        if not changed:
            return attributes
        merged = {**attributes, **changed}
        return {key: value for key, value in merged.items() if value is not None}

    def _rule(self, key: str) -> Rule | None:
        found = self._rules.get(key)
        if found is None:
            found = redaction.rule(key, self._policy)
            if len(self._rules) + len(self._harmless) < _MAX_KEYS:
                if found is None:
                    self._harmless.add(key)
                else:
                    self._rules[key] = found
        return found

    def _events(self, events: Sequence[Event], where: Where) -> Sequence[Event]:
        cleaned = [self._event(event, where) for event in events]
        return events if all(map(_is, cleaned, events)) else cleaned

    def _event(self, event: Event, where: Where) -> Event:
        attributes: Attributes = event.attributes or {}
        kept = self._attributes(attributes, where)
        if kept is attributes:
            return event
        return Event(event.name, kept, event.timestamp)  # type: ignore[arg-type]

    def _status(self, status: Status) -> Status:
        if not status.description:
            return status
        text = redaction.exception_text(
            status.description, limit=_MAX_DESCRIPTION, policy=self._policy
        )
        return status if text == status.description else Status(status.status_code, text)


class _Copy(ReadableSpan):
    """A span with some of its parts replaced, and the counts of what the SDK dropped kept."""

    def __init__(
        self,
        span: ReadableSpan,
        *,
        name: str,
        attributes: Attributes,
        events: Sequence[Event],
        status: Status,
    ) -> None:
        super().__init__(
            name=name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=attributes,  # type: ignore[arg-type]
            events=events,
            links=span.links,
            kind=span.kind,
            status=status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        self._dropped = (span.dropped_attributes, span.dropped_events, span.dropped_links)

    @property
    def dropped_attributes(self) -> int:
        """Attributes that the SDK's limits dropped."""
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        """Events that the SDK's limits dropped."""
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        """Links that the SDK's limits dropped."""
        return self._dropped[2]


def _copy(attributes: Attributes) -> dict[str, object]:
    """Return attributes as a dictionary: each look into the SDK's own mapping runs Python code."""
    copy = getattr(attributes, "copy", None)
    return dict(attributes) if copy is None else dict(copy())


def _is(one: object, other: object) -> bool:
    return one is other
