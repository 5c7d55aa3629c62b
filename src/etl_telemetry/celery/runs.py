"""The run of a task: carried in a header from message to message.

`chain.apply_async(headers=)` reaches only the first task and no errback, so the
header is written by a signal at every publish inside of a run: follow-ups of a
chain, errbacks, chord bodies and retries are published while the task before
them still runs.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context

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


def keep_in_trace(request: Any, run: Run) -> None:
    """Make sure that the task's span becomes part of the run's trace.

    The instrumentor reads the parent from the attributes of ``request``. A message
    of a publisher without telemetry, or with one that knows no runs, names no
    parent or one in another trace: then the run's root span becomes the parent.
    """
    carrier = {name: getattr(request, name, None) for name in _fields()}
    context = propagate.extract({k: v for k, v in carrier.items() if isinstance(v, str)}, Context())
    parent = trace.get_current_span(context).get_span_context()
    if parent.trace_id != run.span_context.trace_id:
        root = trace.NonRecordingSpan(run.span_context)
        vars(request).update(_injected(trace.set_span_in_context(root, Context())))


def _fields() -> set[str]:
    return propagate.get_global_textmap().fields


def _injected(context: Context) -> dict[str, str]:
    headers: dict[str, str] = {}
    propagate.inject(headers, context=context)
    return headers
