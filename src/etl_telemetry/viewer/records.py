"""Values that the viewer's query side returns: plain, frozen, ready for `dataclasses.asdict`.

Attribute values are what JSON can say: str, bool, int, float, None, lists and dicts of these.
Bytes arrive as base64 text, and the floats that JSON lacks as "NaN", "Infinity", "-Infinity".
Ids are lower-case hex. Times are nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Attributes: TypeAlias = "dict[str, Json]"


@dataclass(frozen=True, slots=True)
class Scope:
    """The instrumentation scope that wrote a signal."""

    name: str
    """Name of the tracer, meter or logger; "" when the writer gave none."""
    version: str
    """Version of the scope; "" when the writer gave none."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one moment of a span."""

    name: str
    """Name of the event, for instance "exception"."""
    time_ns: int
    """When, in nanoseconds since the epoch."""
    attributes: Attributes
    """Attributes of the event."""


@dataclass(frozen=True, slots=True)
class Link:
    """A pointer from a span to another one."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    attributes: Attributes
    """Attributes of the link."""


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span, as it arrived."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    parent_span_id: str | None
    """16 hex digits; None for a root."""
    name: str
    """Name of the span."""
    kind: str
    """"unspecified", "internal", "server", "client", "producer" or "consumer"."""
    start_ns: int
    """Start, in nanoseconds since the epoch."""
    end_ns: int
    """End, in nanoseconds since the epoch."""
    status: str
    """"unset", "ok" or "error"."""
    status_message: str
    """Description of the status; "" when there is none."""
    attributes: Attributes
    """Attributes of the span."""
    events: tuple[Event, ...]
    """Events, in the order of the writer."""
    links: tuple[Link, ...]
    """Links, in the order of the writer."""
    service: str
    """Resource attribute `service.name`; "" when absent."""
    resource: Attributes
    """Attributes of the resource."""
    scope: Scope
    """Who wrote the span."""
    received: int
    """How often this id arrived. More than 1 means that it was sent again; the last one is kept."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record, as it arrived. A batch that is sent twice is kept twice."""

    time_ns: int
    """When it happened; 0 when the writer did not say."""
    observed_ns: int
    """When the writer's SDK saw it; 0 when unknown."""
    severity: int
    """OTLP severity number, 0 to 24."""
    severity_text: str
    """Severity as the writer calls it, for instance "INFO"."""
    event_name: str
    """Name of the event; "" for an ordinary log record."""
    body: Json
    """The message, mostly text."""
    trace_id: str | None
    """32 hex digits, or None outside a trace."""
    span_id: str | None
    """16 hex digits, or None outside a span."""
    attributes: Attributes
    """Attributes of the record."""
    service: str
    """Resource attribute `service.name`; "" when absent."""
    resource: Attributes
    """Attributes of the resource."""
    scope: Scope
    """Who wrote it; the Python bridge puts the logger's name here."""


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One line of the list of traces."""

    trace_id: str
    """32 hex digits."""
    name: str
    """Name of the root span, or of the earliest one while the root is missing."""
    service: str
    """Service of that span."""
    start_ns: int
    """Earliest start."""
    end_ns: int
    """Latest end."""
    spans: int
    """Spans that arrived."""
    errors: int
    """Spans with status "error"."""


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A delivery of a task that has begun and has not ended, as far as is known."""

    name: str
    """Name of the task."""
    task_id: str
    """Celery's task id."""
    span_id: str
    """Id that its span will have: 16 hex digits."""
    started_ns: int
    """Begin, in nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pipeline, from what has arrived of it: its root span comes at its end."""

    run_id: str
    """Id of the run."""
    trace_id: str
    """32 hex digits."""
    name: str
    """Name of the pipeline; "" while unknown."""
    organization: str
    """Organization; "" while unknown."""
    status: str
    """"running", or how it ended: "success", "failed", "cancelled", "lost"."""
    started_ns: int
    """Begin; while it runs the earliest that is known."""
    ended_ns: int | None
    """End; None while it runs."""
    heard_ns: int
    """Time of the latest thing that has arrived of it."""
    spans: int
    """Spans that arrived."""
    running: tuple[RunningTask, ...]
    """Tasks that run now, by their begin; () of a run that has ended."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram's value with explicit buckets."""

    count: int
    """Number of measurements."""
    sum: int | float | None
    """Their sum; None when one of the writers did not send it."""
    min: int | float | None
    """The least one; None when unknown."""
    max: int | float | None
    """The greatest one; None when unknown."""
    bounds: tuple[float, ...]
    """Upper bounds of all buckets but the last, which has none."""
    buckets: tuple[int, ...]
    """Measurements per bucket (not cumulative); one more than bounds, or none at all."""


@dataclass(frozen=True, slots=True)
class ExponentialHistogram:
    """A histogram's value with exponential buckets of base `2 ** 2 ** -scale`."""

    count: int
    """Number of measurements."""
    sum: int | float | None
    """Their sum; None when one of the writers did not send it."""
    min: int | float | None
    """The least one; None when unknown."""
    max: int | float | None
    """The greatest one; None when unknown."""
    scale: int
    """Resolution; merged values take the coarsest one."""
    zero_count: int
    """Measurements in the zero bucket."""
    zero_threshold: float
    """Width of the zero bucket."""
    positive: dict[int, int]
    """Index -> measurements in `(base ** index, base ** (index + 1)]`."""
    negative: dict[int, int]
    """The same for negative measurements."""


Value: TypeAlias = int | float | Histogram | ExponentialHistogram


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric by name and kind."""

    name: str
    """Name of the metric."""
    kind: str
    """"gauge", "sum", "updown", "histogram", "exponential_histogram" or "summary"."""
    temporality: str
    """"cumulative", "delta", or "" for gauges and summaries."""
    unit: str
    """UCUM unit; "" when there is none."""
    description: str
    """What it counts."""
    series: int
    """Number of series that arrived."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measurement that a point remembers, with the span in which it was taken."""

    value: int | float
    """What was measured."""
    time_ns: int
    """When."""
    trace_id: str | None
    """32 hex digits, or None outside a trace."""
    span_id: str | None
    """16 hex digits, or None outside a span."""
    attributes: Attributes
    """Attributes that the point itself does not have."""


@dataclass(frozen=True, slots=True)
class Point:
    """One data point as it arrived."""

    start_ns: int
    """Start of the interval; 0 when unknown."""
    time_ns: int
    """When the value was taken."""
    value: Value | None
    """The value; None when the writer said that the series has ended."""
    exemplars: tuple[Exemplar, ...]
    """Exemplars, in the order of the writer."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: what one writer says about one set of attributes."""

    metric: str
    """Name of the metric."""
    kind: str
    """Kind, as in `Metric.kind`."""
    temporality: str
    """Temporality, as in `Metric.temporality`."""
    attributes: Attributes
    """Attributes of the points."""
    resource: Attributes
    """Attributes of the resource, the writer."""
    scope: Scope
    """Who wrote it."""
    points: tuple[Point, ...]
    """History, oldest first, as far as the store kept it."""
