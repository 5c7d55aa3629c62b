"""The facts that both sides must agree on: what the ledger says and what arrived over OTLP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.records import Span

Counts = Mapping[tuple[str, ...], int]
"""A count for each key; a count of 0 is left out."""

ROW_KINDS = ("read", "processed", "rejected", "skipped")
RUN_SPAN = "pipeline run "
"""How the name of a run's root span begins."""
TASK_SPAN = "run/"
"""How the name of a delivery's span begins."""
TASK_RECORDS = (
    "task_completed", "task_failed", "task_lost", "task_rejected", "task_retried", "task_revoked",
)  # fmt: skip
"""The log record that a delivery ends with is one of these."""
EVERY_TASK = ("all tasks",)


@dataclass(frozen=True, slots=True)
class Facts:
    """One side's account of what happened."""

    runs: Counts
    """Runs that ended, by pipeline and status: the counter, and the ledger's run table."""
    traces: Counts
    """The same runs, counted by the root spans of their traces."""
    tasks: Counts
    """Deliveries of tasks, by pipeline, type and status."""
    records: Counts
    """The same deliveries, counted by the log record that each ends with, by type and status."""
    spans: Counts
    """The same deliveries, counted by their spans, all together."""
    rows: Counts
    """Rows of steps that ended well, by pipeline, step and kind."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One count on which the sides do not agree."""

    fact: str
    """What was counted: runs, traces, tasks, records, spans or rows."""
    key: tuple[str, ...]
    """Pipeline and status, with the type of a task; or pipeline, step and kind of rows."""
    ledger: int
    """The ledger's count."""
    arrived: int
    """The count that arrived over OTLP."""

    def __str__(self) -> str:
        return (
            f"{self.fact} of {' / '.join(self.key)}: ledger {self.ledger:,}, "
            f"arrived {self.arrived:,} ({self.arrived - self.ledger:+,})"
        )


def differences(ledger: Facts, arrived: Facts) -> list[Difference]:
    """Compare two accounts, count by count."""

    def compare() -> Iterator[Difference]:
        for fact in fields(Facts):
            ours: Counts = getattr(ledger, fact.name)
            theirs: Counts = getattr(arrived, fact.name)
            for key in sorted({*ours, *theirs}):
                if ours.get(key, 0) != theirs.get(key, 0):
                    yield Difference(fact.name, key, ours.get(key, 0), theirs.get(key, 0))

    return list(compare())


def from_ledger(ledger: Mapping[str, Any]) -> Facts:
    """Read what `manage.py ledger --json` says."""
    runs = dict(_leaves(ledger["runs"]))
    rows: Counts = {
        (pipeline, step, kind): counts[kind]
        for pipeline, steps in ledger["rows"].items()
        for step, counts in steps.items()
        for kind in ROW_KINDS
    }
    tasks = dict(_leaves(ledger["tasks"]))
    records: Counter[tuple[str, ...]] = Counter()
    for (_, *key), number in tasks.items():
        records[tuple(key)] += number
    return Facts(
        runs=runs,
        traces=runs,
        tasks=tasks,
        records=records,
        spans={EVERY_TASK: records.total()},
        rows=rows,
    )


def _leaves(nested: Mapping[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], int]]:
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, *path, name)
        else:
            yield (*path, name), value


def arrived(query: Query) -> Facts:
    """Read from the viewer's store what arrived over OTLP."""
    rows = {
        (*key, kind): count
        for kind in ROW_KINDS
        for key, count in _sums(query, f"data.rows.{kind}", "pipeline.name", "step.type").items()
    }
    return Facts(
        runs=_sums(query, "pipeline.executions", "pipeline.name", "status"),
        traces=_traces(query),
        tasks=_sums(query, "task.executions", "pipeline.name", "task.type", "status"),
        records=_records(query),
        spans={EVERY_TASK: _deliveries(query)},
        rows=rows,
    )


def _sums(query: Query, metric: str, *by: str) -> dict[tuple[str, ...], int]:
    found = query.sum_latest(metric, by=by)
    return {tuple(map(str, key)): int(value) for key, value in found.items() if value}  # type: ignore[arg-type]


def root_spans(query: Query) -> list[Span]:
    """Return the root span of every run that arrived, by start."""
    runs = (trace for trace in query.traces(limit=None) if trace.name.startswith(RUN_SPAN))
    found = [
        span
        for trace in runs
        for span in query.spans(trace_id=trace.trace_id, name=trace.name, limit=None)
        if span.parent_span_id is None
    ]
    return sorted(found, key=lambda span: span.start_ns)


def _traces(query: Query) -> dict[tuple[str, ...], int]:
    counts: Counter[tuple[str, ...]] = Counter()
    for span in root_spans(query):
        key = (str(span.attributes["pipeline.name"]), str(span.attributes["pipeline.status"]))
        counts[key] += span.received  # Twice the same span is one too many.
    return dict(counts)


def _records(query: Query) -> dict[tuple[str, ...], int]:
    ends = (
        record.attributes
        for record in query.logs(logger="etl_telemetry.celery", limit=None)
        if record.body in TASK_RECORDS
    )
    return dict(Counter((str(end["task.type"]), str(end["task.status"])) for end in ends))


def _deliveries(query: Query) -> int:
    spans = query.spans(limit=None)
    return sum(span.received for span in spans if span.name.startswith(TASK_SPAN))
