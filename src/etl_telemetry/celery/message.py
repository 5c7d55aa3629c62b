"""The message header: what a publish tells the worker beside trace context and run.

Versioned JSON. A reader understands its own version only; what it cannot read, or
what belongs to another message, is as if it were not there: then the task is an
ordinary child of its publish, and its wait is not known. Celery copies the headers of a
task to its retries, so a worker without telemetry passes an old one on: hence `id` and
`retries` in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from opentelemetry.trace import SpanContext

from etl_telemetry import values
from etl_telemetry.catalogue import MESSAGE_HEADER, CanvasKind, LinkReason
from etl_telemetry.pipelines import header

VERSION = 1
"""Version of the format."""
_MAX_TEXT = 512


@dataclass(frozen=True, slots=True)
class Chord:
    """The chord whose body a message is."""

    group: str
    """Id of the group that is its header."""
    size: int
    """Tasks in the header."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is known of one publish.

    >>> message = Message(published_ns=1_760_000_000_000_000_000)
    >>> Message.from_header(message.to_header("task-1", 0), "task-1", 0) == message
    True
    """

    published_ns: int | None = None
    """When, in Unix nanoseconds of the publisher's clock; None: not told."""
    previous: SpanContext | None = None
    """The delivery that asked for this retry; None: no retry."""
    reason: str | None = None
    """Why it asked, without values of its data."""
    wait: float | None = None
    """Seconds that it wanted to wait."""
    link: str | None = None
    """A `LinkReason`: the task gets a trace of its own. None: it is a child of the publish."""
    kind: str | None = None
    """A `CanvasKind` that only the publisher knows."""
    chord: Chord | None = None
    """The chord whose body this is."""

    def to_header(self, task_id: str, retries: int) -> str:
        """Return it as text for the header of that message."""
        fields = {
            "v": VERSION,
            "id": task_id,
            "retries": retries,
            "published_ns": self.published_ns,
            "previous": None if self.previous is None else header.context_text(self.previous),
            "reason": None if self.reason is None else values.text(self.reason, limit=_MAX_TEXT),
            "wait": self.wait,
            "link": self.link,
            "kind": self.kind,
            "chord": None if self.chord is None else [self.chord.group, self.chord.size],
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(given, separators=(",", ":"))

    @classmethod
    def from_header(cls, text: object, task_id: str, retries: int) -> Message:
        """Return what `to_header` wrote for that message, checked field by field; never raise."""
        found = header.read(text) or {}
        if (found.get("v"), found.get("id"), found.get("retries")) != (VERSION, task_id, retries):
            return cls()
        return cls(
            published_ns=values.count(found.get("published_ns")),
            previous=header.context_of(found.get("previous")),
            reason=_text(found.get("reason")),
            wait=values.seconds(found.get("wait")),
            link=_member(found.get("link"), LinkReason),
            kind=_member(found.get("kind"), CanvasKind),
            chord=_chord(found.get("chord")),
        )

    @classmethod
    def of(cls, request: object) -> Message:
        """Return what the message of Celery's ``request`` says."""
        return cls.from_header(
            getattr(request, MESSAGE_HEADER, None),
            str(getattr(request, "id", None)),
            getattr(request, "retries", None) or 0,
        )


def _text(text: object) -> str | None:
    return values.text(text, limit=_MAX_TEXT) if isinstance(text, str) and text else None


def _member(text: object, kind: type[CanvasKind | LinkReason]) -> str | None:
    return text if isinstance(text, str) and text in tuple(kind) else None


def _chord(written: object) -> Chord | None:
    match written:
        case [str(group), int(size)] if size >= 0:
            return Chord(values.text(group, limit=_MAX_TEXT), size)
    return None
