"""A step of a task: timed and counted by telemetry, and kept in the `TaskRun`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from apps.pipelines import deliveries
from etl_telemetry import step
from nyc.tally import Tally

if TYPE_CHECKING:
    from etl_telemetry.pipelines import Step

logger = logging.getLogger(__name__)

EVERY = 500
"""Rows after which a step says how far it is."""


class UnbalancedStep(RuntimeError):
    """A step lost count of its rows: a bug in the pipeline, not in the data."""


class RunningTally(Tally):
    """The tally of a step that runs, which may say how far it is."""

    __slots__ = ("_step", "_told")

    def __init__(self, current: Step) -> None:
        super().__init__()
        self._step, self._told = current, 0

    def reading(self, rows: Iterable[Any], *, expected: int | None = None) -> Iterator[Any]:
        """Hand rows on, and say now and then how many were read of those that are expected."""
        if expected is not None:
            self.expect(expected)
        for number, row in enumerate(rows, 1):
            yield row
            if number % EVERY == 0:
                self._told += EVERY
                self._step.add_rows(read=EVERY)

    def expect(self, rows: int) -> None:
        """Say how many rows there will be."""
        self._step.expect_rows(rows)

    def is_alive(self) -> None:
        """Say that the step goes on, where there are no rows that would say so."""
        self._step.heartbeat()

    def tell(self) -> None:
        """Count what was not told yet."""
        counts = self.counts()
        self._step.add_rows(**counts | {"read": counts["read"] - self._told})


@contextmanager
def counted_step(step_type: str) -> Iterator[RunningTally]:
    """Run a step; the block adds what it did to the tally that it gets.

    A step that raises is not counted: its task does the rows again or fails.
    """
    with step(step_type) as current:
        tally = RunningTally(current)
        yield tally
        if not tally.is_balanced():
            raise UnbalancedStep(
                f"Step {step_type!r} read {tally.read} rows, but accounts for "
                f"{tally.processed} processed + {tally.rejected} rejected + "
                f"{tally.skipped} skipped."
            )
        tally.tell()
        logger.info("step_finished", extra={"step": step_type, **tally.as_json()})
    deliveries.keep_rows(step_type, tally)
