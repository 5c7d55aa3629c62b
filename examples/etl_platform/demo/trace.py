"""One run's trace as a tree, its trigger, and the log lines that carry its id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.records import LogRecord, Span

LOG_LINES = 12


def show(query: Query, trace_id: str) -> RenderableType:
    """Return a trace for the terminal."""
    spans = query.trace(trace_id)
    children: defaultdict[str | None, list[Span]] = defaultdict(list)
    known = {span.span_id for span in spans}
    for span in spans:
        parent = span.parent_span_id if span.parent_span_id in known else None
        children[parent].append(span)
    root = Tree(Text(f"trace {trace_id}, {len(spans)} spans", style="bold"))
    _grow(root, children[None], children)
    return Group(root, Text(), *_triggers(query, spans), Text(), *_log_lines(query, trace_id))


def _grow(tree: Tree, spans: Sequence[Span], children: dict[str | None, list[Span]]) -> None:
    for _, same in groupby(spans, key=lambda span: (span.name, span.status, span.kind)):
        alike = list(same)
        branch = tree.add(_line(alike))
        if len(alike) == 1:
            _grow(branch, children[alike[0].span_id], children)


def _line(alike: Sequence[Span]) -> Text:
    first = alike[0]
    seconds = sum(span.end_ns - span.start_ns for span in alike) / 1e9
    text = Text(first.name, style="red" if first.status == "error" else "")
    if len(alike) > 1:
        text.append(f" x {len(alike)}", style="bold")
    kind = "" if first.kind == "internal" else f"{first.kind} "
    return text.append(f"  {kind}{seconds:.3f} s", style="dim")


def _triggers(query: Query, spans: Sequence[Span]) -> Iterator[Text]:
    roots = [span for span in spans if span.parent_span_id is None]
    for link in (link for span in roots for link in span.links):
        found = query.spans(trace_id=link.trace_id, span_id=link.span_id)
        what = f"{found[0].name} ({found[0].service})" if found else "a span that did not arrive"
        yield Text(f"triggered by {what}, trace {link.trace_id}", style="cyan")


def _log_lines(query: Query, trace_id: str) -> Iterator[Text]:
    records = sorted(query.logs(trace_id=trace_id), key=lambda record: record.time_ns)
    yield Text(f"{len(records)} log records with trace id {trace_id}", style="bold")
    yield from (_log_line(record) for record in records[:LOG_LINES])
    if len(records) > LOG_LINES:
        yield Text(f"... and {len(records) - LOG_LINES} more", style="dim")


def _log_line(record: LogRecord) -> Text:
    when = datetime.fromtimestamp((record.time_ns or record.observed_ns) / 1e9, tz=UTC)
    text = Text(f"  {when:%H:%M:%S.%f}"[:-3], style="dim")
    text.append(f" {record.severity_text:<8}", style="red" if record.severity > 16 else "green")  # noqa: PLR2004 -- OTLP: ERROR begins at 17
    return text.append(f"{record.scope.name}  {record.body}")
