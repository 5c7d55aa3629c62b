"""A step of a task: timed and counted by telemetry, and kept in the `TaskRun`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from apps.pipelines import deliveries
from etl_telemetry import step
from nyc.tally import Tally

logger = logging.getLogger(__name__)


class UnbalancedStep(RuntimeError):
    """A step lost count of its rows: a bug in the pipeline, not in the data."""


@contextmanager
def counted_step(step_type: str) -> Iterator[Tally]:
    """Run a step; the block adds what it did to the tally that it gets.

    A step that raises is not counted: its task does the rows again or fails.
    """
    tally = Tally()
    with step(step_type) as current:
        yield tally
        if not tally.is_balanced():
            raise UnbalancedStep(
                f"Step {step_type!r} read {tally.read} rows, but accounts for "
                f"{tally.processed} processed + {tally.rejected} rejected + "
                f"{tally.skipped} skipped."
            )
        current.add_rows(**tally.counts())
        logger.info("step_finished", extra={"step": step_type, **tally.as_json()})
    deliveries.keep_rows(step_type, tally)
