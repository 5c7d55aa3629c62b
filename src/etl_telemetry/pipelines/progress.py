"""Steps that run now and have told how far they are, as metrics.

A step is reported from its first `add_rows()`, `heartbeat()` or `rows_total` until it ends.
The last thing that is said of a pipeline's steps of one type is zero: so that a query that
looks a few minutes back sees the end.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from opentelemetry.metrics import CallbackOptions, Observation

from etl_telemetry.catalogue import (
    PIPELINE_NAME,
    STEP_HEARTBEAT_AGE,
    STEP_ROWS_DONE,
    STEP_ROWS_EXPECTED,
    STEP_TYPE,
)
from etl_telemetry.metrics.instruments import observe
from etl_telemetry.metrics.labels import bounded

_Key = tuple[str, str]


class Progress:
    """How far one step is. Who runs the step holds it; when that goes, it is forgotten."""

    __slots__ = ("__weakref__", "_rows", "beat", "pid", "pipeline", "step", "total")

    def __init__(self, pipeline: str, step: str, rows: Mapping[str, int]) -> None:
        self.pipeline = pipeline
        self.step = step
        self._rows = rows
        self.total: int | None = None
        """Rows that are expected; None: not told."""
        self.beat = time.monotonic()
        """Last sign of life."""
        self.pid = os.getpid()

    @property
    def done(self) -> int:
        """Rows that are through; where only the rows taken in are told, these."""
        through = (self._rows.get(word, 0) for word in ("processed", "rejected", "skipped"))
        return max(sum(through), self._rows.get("read", 0))


class _Running:
    """The steps of this process."""

    def __init__(self) -> None:
        # No lock that a fork could leave locked: one operation on a dictionary is atomic.
        self.steps: dict[int, weakref.ref[Progress]] = {}
        self.told: dict[str, set[_Key]] = {}
        self.pid = os.getpid()

    def by_key(self) -> dict[_Key, list[Progress]]:
        """Return the steps of this process by the labels that they are reported under."""
        found: dict[_Key, list[Progress]] = {}
        here = os.getpid()
        for key, reference in list(self.steps.items()):
            step = reference()
            if step is None or step.pid != here:  # A forked child does not run its parent's.
                self.steps.pop(key, None)
                continue
            labels = bounded(PIPELINE_NAME, step.pipeline), bounded(STEP_TYPE, step.step)
            found.setdefault(labels, []).append(step)
        return found

    def observed(
        self, name: str, value: Callable[[list[Progress]], float | None], _: CallbackOptions
    ) -> Iterable[Observation]:
        """Return what there is to say now, and a zero for what ended since the last time."""
        if self.pid != os.getpid():
            self.told, self.pid = {}, os.getpid()
        values = {key: value(steps) for key, steps in self.by_key().items()}
        now = {key: number for key, number in values.items() if number is not None}
        ended = self.told.get(name, set()) - now.keys()
        self.told[name] = set(now)
        told = {**now, **dict.fromkeys(ended, 0)}
        return [
            Observation(number, {PIPELINE_NAME: pipeline, STEP_TYPE: step})
            for (pipeline, step), number in told.items()
        ]


def begin(progress: Progress) -> None:
    """Report a step from now on."""
    observe(STEP_ROWS_DONE.name, _done)
    observe(STEP_ROWS_EXPECTED.name, _expected)
    observe(STEP_HEARTBEAT_AGE.name, _age)
    _running.steps[id(progress)] = weakref.ref(progress)


def end(progress: Progress) -> None:
    """Report it no more."""
    _running.steps.pop(id(progress), None)


def _rows_done(steps: list[Progress]) -> int:
    return sum(step.done for step in steps)


def _rows_expected(steps: list[Progress]) -> int | None:
    totals = [step.total for step in steps if step.total is not None]
    return sum(totals) if totals else None


def _most_silent(steps: list[Progress]) -> float:
    return max(0.0, time.monotonic() - min(step.beat for step in steps))


_running = _Running()
_done = partial(_running.observed, STEP_ROWS_DONE.name, _rows_done)
_expected = partial(_running.observed, STEP_ROWS_EXPECTED.name, _rows_expected)
_age = partial(_running.observed, STEP_HEARTBEAT_AGE.name, _most_silent)
