"""Subprocesses that a task starts find its trace and its run in their environment.

Around `subprocess.Popen`, through which `run`, `check_output` and asyncio's subprocesses go too.
Children of `multiprocessing` do not: they take it along with their function (`in_child`).
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable
from typing import Any

from etl_telemetry import guard, pipelines
from etl_telemetry.celery import here
from etl_telemetry.instrumentation.wrapping import replace

_ENV = 10
"""Place of `env` among the arguments of `Popen`, which takes them by position too."""
_TOLD = "TRACEPARENT"


def wrap() -> Callable[[], None]:
    """Tell each subprocess of a task its trace; return how to undo it."""

    def around(original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def init(process: Any, /, *args: Any, **kwargs: Any) -> None:
            with guard.absorb("telling a subprocess its trace"):
                args, kwargs = _told(args, kwargs)
            original(process, *args, **kwargs)

        return init

    return replace(subprocess.Popen, "__init__", around)


def _told(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with the trace in `env`; what the task itself says there wins."""
    if here.current() is None:
        return args, kwargs
    by_position = len(args) > _ENV
    given = args[_ENV] if by_position else kwargs.get("env")
    # That of the worker itself comes along where a task adds to its environment.
    outer = os.environ.get(_TOLD)
    if given is not None and given.get(_TOLD, outer) != outer:
        return args, kwargs
    environment = pipelines.child_environment(given)
    if by_position:
        return (*args[:_ENV], environment, *args[_ENV + 1 :]), kwargs
    return args, {**kwargs, "env": environment}
