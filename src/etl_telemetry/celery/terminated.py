"""Which tasks somebody has terminated: what a greenlet that is killed has to know of itself.

Celery's own list of revoked tasks does not tell: one that is revoked without being terminated
runs on, and may be ended by a cold shutdown, which kills greenlets before it says that it does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from celery.utils.collections import LimitedSet
from celery.worker.request import Request

from etl_telemetry.instrumentation.wrapping import replace

_terminated = LimitedSet(maxlen=1_000)


def wrap() -> Callable[[], None]:
    """Remember every task that this process terminates; return how to undo it."""
    return replace(Request, "terminate", _remembered)


def was_terminated(task_id: str) -> bool:
    """Tell whether this process has asked its pool to end this task.

    >>> was_terminated("5e8d6c1e")
    False
    """
    return task_id in _terminated


def _remembered(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def terminate(request: Any, *args: Any, **kwargs: Any) -> None:
        _terminated.add(request.id)  # Before: a greenlet tells its end while it is killed.
        original(request, *args, **kwargs)

    return terminate
