"""Ask the workers what they do, and stop one: what the incidents need to know."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from typing import Any

from celery import current_app

from apps.pipelines.models import PipelineRun

PATIENCE = 30.0
"""Seconds to wait for a worker to take a task, or to end."""


class IncidentError(RuntimeError):
    """The incident can't be staged."""


@dataclass(frozen=True, slots=True)
class Running:
    """A task that a worker is executing."""

    task_id: str
    name: str
    process: int
    """The pool child's process id."""
    worker: str


def running_task_of(run: PipelineRun) -> Running:
    """Wait until a worker executes a task of the run."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for worker, tasks in (current_app.control.inspect(timeout=1).active() or {}).items():
            for task in tasks:
                if task["kwargs"].get("run_id") == str(run.pk) and task["worker_pid"]:
                    return Running(task["id"], task["name"], task["worker_pid"], worker)
        time.sleep(0.2)
    raise IncidentError(
        f"No worker took a task of run {run.pk} within {PATIENCE:g} s. Is one running? "
        "celery -A etl_platform worker --pool prefork --concurrency 2"
    )


def must_be_ours(task: Running) -> None:
    """Make sure that the process is a child of a worker on this host."""
    host = platform.node()
    if task.process not in _children(task.worker) or task.worker.partition("@")[2] != host:
        raise IncidentError(
            f"Process {task.process} is not a pool child of a worker on this host "
            f"(worker {task.worker}, this host is {host}). "
            "Run the incident where the worker runs, with the prefork pool."
        )


def slots() -> int:
    """Return how many tasks all workers together can execute at the same time."""
    return sum(stats["pool"]["max-concurrency"] for stats in _stats().values())


def slots_in_time() -> int:
    """Return the same, as soon as a worker answers."""
    end = time.monotonic() + PATIENCE
    while not (found := slots()):
        if time.monotonic() > end:
            raise IncidentError("No worker answers: there is none to keep busy.")
    return found


def stop_one() -> str:
    """Stop a worker in the ordinary way, wait until it has ended, and return its name."""
    names = sorted(_stats())
    if not names:
        raise IncidentError("No worker answers: there is none to stop.")
    asked = current_app.control.inspect([names[0]], timeout=1)
    current_app.control.shutdown(destination=[names[0]])
    end = time.monotonic() + PATIENCE
    while asked.ping():
        if time.monotonic() > end:
            raise IncidentError(f"{names[0]} still answers after {PATIENCE:g} s.")
        time.sleep(0.2)
    return names[0]


def _children(worker: str) -> list[int]:
    return list(_stats([worker]).get(worker, {}).get("pool", {}).get("processes", ()))


def _stats(workers: list[str] | None = None) -> dict[str, Any]:
    return current_app.control.inspect(workers, timeout=2).stats() or {}
