"""Deliveries of tasks in this process, through the tracer of Celery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.app.trace import build_tracer
from opentelemetry.trace import TraceFlags

from etl_telemetry.pipelines import Run

RUN = Run(id="7", name="daily", organization="acme", started_ns=1_000)
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
OTHER_TRACE = f"00-{0xABC:032x}-{0xDEF:016x}-01"
IN_RUN = f"00-{RUN.trace_id}-{0xDEF:016x}-01"
TASK = {"task.id": "task-1", "task.name": "shop.extract_orders", "task.type": "extract"}


def deliver(
    app: Celery,
    body: Callable[..., Any],
    *,
    name: str = "shop.extract_orders",
    kwargs: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """Run ``body`` as a worker runs a task: through Celery's own tracer, with all signals."""
    body.__name__ = "body"  # Celery compiles a function of that name; a lambda has none.
    task: Task[Any, Any] = app.task(name=name, shared=False, **options)(body)
    app.finalize()
    request = {
        "id": "task-1",
        "delivery_info": {"routing_key": "jobs", "redelivered": False},
        "is_eager": False,
        "hostname": "worker@host",
        **(headers or {}),
    }
    build_tracer(task.name, app.tasks[name], app=app)("task-1", (), kwargs or {}, request)


def count(status: str, *, pipeline: str = "unknown", type_: str = "extract") -> dict[Any, int]:
    """Return what the counter shows after one delivery."""
    labels = {"pipeline.name": pipeline, "status": status, "task.type": type_}
    return {tuple(sorted(labels.items())): 1}


def succeed() -> list[int]:
    """End well."""
    return [1, 2, 3]
