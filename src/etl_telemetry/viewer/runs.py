"""Runs, those that run now included: put together from the spans and log records of their parts.

A run's root span is emitted at its end, and so is each task's. What is known before are the
log records `pipeline_run_started` and `task_started`, and the spans inside that have ended.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from etl_telemetry.catalogue import (
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ID,
    PIPELINE_STATUS,
    TASK_ID,
    TASK_NAME,
)
from etl_telemetry.viewer.records import Run, RunningTask

RUNNING = "running"
"""Status of a run that has not ended."""
_BEGUN = "task_started"
_FINISHED = "pipeline_run_finished"
_SPANS = f"""SELECT seq, trace_id, span_id, parent_span_id, start_ns, end_ns, attributes
FROM spans WHERE attributes LIKE '%"{PIPELINE_RUN_ID}"%' ORDER BY seq"""  # noqa: S608 - a constant
_LOGS = f"""SELECT trace_id, span_id, time_ns, body, attributes
FROM logs WHERE trace_id IS NOT NULL AND attributes LIKE '%"{PIPELINE_RUN_ID}"%'
ORDER BY seq"""  # noqa: S608 - a constant


@dataclass(slots=True)
class _Parts:
    """What has arrived of one run."""

    trace_id: str
    facts: dict[str, Any] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    spans: set[str] = field(default_factory=set)
    begun: dict[str, RunningTask] = field(default_factory=dict)
    root: tuple[int, int] | None = None
    finished_ns: int | None = None

    def run(self, run_id: str) -> Run:
        begin, end = self.root or (min(self.times), self.finished_ns)
        status = str(self.facts.get(PIPELINE_STATUS, RUNNING))
        open_ = [task for span_id, task in self.begun.items() if span_id not in self.spans]
        return Run(
            run_id=run_id,
            trace_id=self.trace_id,
            name=str(self.facts.get(PIPELINE_NAME, "")),
            organization=str(self.facts.get(PIPELINE_ORGANIZATION, "")),
            status=status,
            started_ns=begin,
            ended_ns=end,
            heard_ns=max(self.times),
            spans=len(self.spans),
            running=()
            if status != RUNNING
            else tuple(sorted(open_, key=lambda task: task.started_ns)),
        )


def runs(db: sqlite3.Connection, *, status: str | None, limit: int | None) -> list[Run]:
    """Return the runs of which something has arrived, the latest begin first."""
    parts: dict[str, _Parts] = {}
    for row in db.execute(_SPANS):
        _add_span(parts, row)
    for row in db.execute(_LOGS):
        _add_log(parts, row)
    found: Iterable[Run] = (part.run(run_id) for run_id, part in parts.items())
    chosen = [run for run in found if status is None or run.status == status]
    chosen.sort(key=lambda run: (-run.started_ns, run.run_id))
    return chosen if limit is None else chosen[: max(limit, 0)]


def _part(parts: dict[str, _Parts], trace_id: str, attributes: dict[str, Any]) -> _Parts:
    part = parts.setdefault(str(attributes[PIPELINE_RUN_ID]), _Parts(trace_id))
    for key in (PIPELINE_NAME, PIPELINE_ORGANIZATION, PIPELINE_STATUS):
        if key in attributes:
            part.facts[key] = attributes[key]
    return part


def _add_span(parts: dict[str, _Parts], row: sqlite3.Row) -> None:
    attributes = json.loads(row["attributes"])
    if PIPELINE_RUN_ID not in attributes:
        return
    part = _part(parts, row["trace_id"], attributes)
    part.spans.add(row["span_id"])
    part.times += [row["start_ns"], row["end_ns"]]
    if row["parent_span_id"] is None and PIPELINE_STATUS in attributes:
        part.root = (row["start_ns"], row["end_ns"])


def _add_log(parts: dict[str, _Parts], row: sqlite3.Row) -> None:
    attributes = json.loads(row["attributes"])
    if PIPELINE_RUN_ID not in attributes:
        return
    part = _part(parts, row["trace_id"], attributes)
    part.times.append(row["time_ns"])
    event = json.loads(row["body"])
    if event == _FINISHED:
        part.finished_ns = row["time_ns"]
    elif event == _BEGUN and row["span_id"] is not None:
        name, task_id = str(attributes.get(TASK_NAME, "")), str(attributes.get(TASK_ID, ""))
        part.begun[row["span_id"]] = RunningTask(name, task_id, row["span_id"], row["time_ns"])
