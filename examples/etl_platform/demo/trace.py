"""One run's trace: its spans, the request that triggered it, the log records that carry its id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.records import LogRecord, Span

LOG_LINES = 12
ERROR = 17
"""OTLP severity number at which errors begin."""


@dataclass(frozen=True, slots=True)
class Example:
    """What arrived about one run."""

    trace_id: str
    """Id of the run's trace."""
    spans: Sequence[Span]
    """Its spans, by start."""
    triggers: Sequence[Span]
    """Spans of other traces that its root is linked to: the request that started it."""
    records: Sequence[LogRecord]
    """Log records found by the trace id, by time."""

    def as_json(self) -> dict[str, Any]:
        """Return the same facts for the report's JSON."""
        return {
            "trace_id": self.trace_id,
            "spans": [
                {
                    "name": span.name,
                    "kind": span.kind,
                    "span_id": span.span_id,
                    "parent_span_id": span.parent_span_id,
                    "seconds": _seconds([span]),
                }
                for span in self.spans
            ],
            "triggered_by": [
                {"name": span.name, "kind": span.kind, "trace_id": span.trace_id}
                for span in self.triggers
            ],
            "log_records": [
                {"logger": record.scope.name, "level": record.severity_text, "body": record.body}
                for record in self.records
            ],
        }


def find(query: Query, trace_id: str) -> Example:
    """Ask the viewer for everything that belongs to a trace."""
    spans = query.trace(trace_id)
    links = [link for span in spans if span.parent_span_id is None for link in span.links]
    return Example(
        trace_id=trace_id,
        spans=spans,
        triggers=[
            span
            for link in links
            for span in query.spans(trace_id=link.trace_id, span_id=link.span_id)
        ],
        records=sorted(query.logs(trace_id=trace_id), key=lambda record: record.time_ns),
    )


def show(example: Example) -> RenderableType:
    """Draw it for the terminal."""
    children: defaultdict[str | None, list[Span]] = defaultdict(list)
    known = {span.span_id for span in example.spans}
    for span in example.spans:
        children[span.parent_span_id if span.parent_span_id in known else None].append(span)
    title = f"trace {example.trace_id}, {len(example.spans)} spans"
    tree = Tree(Text(title, style="bold"))
    _grow(tree, children[None], children)
    triggers = [
        Text(f"triggered by {span.name} ({span.service}), trace {span.trace_id}", style="cyan")
        for span in example.triggers
    ]
    return Group(tree, Text(), *triggers, Text(), *_log_lines(example))


def _grow(tree: Tree, spans: Sequence[Span], children: dict[str | None, list[Span]]) -> None:
    for _, same in groupby(spans, key=lambda span: (span.name, span.status, span.kind)):
        alike = list(same)
        # Of many alike only the first is followed further down: it stands for the others.
        _grow(tree.add(_line(alike)), children[alike[0].span_id], children)


def _line(alike: Sequence[Span]) -> Text:
    first = alike[0]
    text = Text(first.name, style="red" if first.status == "error" else "")
    if len(alike) > 1:
        text.append(f" x {len(alike)}", style="bold")
    kind = "" if first.kind == "internal" else f"{first.kind} "
    return text.append(f"  {kind}{_seconds(alike):.3f} s", style="dim")


def _seconds(spans: Sequence[Span]) -> float:
    return sum(span.end_ns - span.start_ns for span in spans) / 1e9


def _log_lines(example: Example) -> Iterator[Text]:
    records = example.records
    yield Text(f"{len(records)} log records with trace id {example.trace_id}", style="bold")
    yield from map(_log_line, records[:LOG_LINES])
    if len(records) > LOG_LINES:
        yield Text(f"  ... and {len(records) - LOG_LINES} more", style="dim")


def _log_line(record: LogRecord) -> Text:
    when = datetime.fromtimestamp((record.time_ns or record.observed_ns) / 1e9, tz=UTC)
    text = Text(f"  {when:%H:%M:%S.%f}"[:-3], style="dim")
    text.append(
        f" {record.severity_text:<5} ", style="red" if record.severity >= ERROR else "green"
    )
    text.append(f"{record.scope.name}  {record.body}")
    text.truncate(140, overflow="ellipsis")
    return text
