"""The run of a task: carried in a header from message to message.

`chain.apply_async(headers=)` reaches only the first task and no errback, so the
header is written by a signal at every publish inside of a run: follow-ups of a
chain, errbacks, chord bodies and retries are published while the task before
them still runs.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from etl_telemetry import pipelines
from etl_telemetry.catalogue import RUN_HEADER
from etl_telemetry.pipelines import Run


def write(headers: MutableMapping[str, Any]) -> None:
    """Add the current run, if any, to the headers of a message."""
    run = pipelines.current_run()
    if run is not None:
        headers[RUN_HEADER] = run.to_header()


def read(request: object) -> Run | None:
    """Return the run that the message of ``request`` belongs to, or None."""
    header = getattr(request, RUN_HEADER, None)
    return Run.from_header(header) if isinstance(header, str) else None
