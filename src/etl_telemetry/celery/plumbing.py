"""What Celery itself says to Redis, as broker and as result backend, is marked as plumbing.

Otherwise each task would show how its own message and result travelled, and the application's
own commands would be lost among them. `instrumentation/redis.py` leaves out what is marked.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from etl_telemetry import guard
from etl_telemetry.instrumentation.importing import when_imported
from etl_telemetry.instrumentation.redis import mark
from etl_telemetry.instrumentation.wrapping import all_of, replace

# Their method is private; `tests/celery/test_plumbing.py` notices when a release moves it.
_MAKERS = (("kombu.transport.redis", "Channel"), ("celery.backends.redis", "RedisBackend"))
_MAKE = "_create_client"


def wrap() -> Callable[[], None]:
    """Mark every Redis client that Celery makes from here on; return how to undo it."""
    undos: list[Callable[[], None]] = []
    for module, owner in _MAKERS:
        # Imported where a Redis URL asks for it: another broker's process needs no redis.
        undos.append(when_imported(module, functools.partial(_replace, module, owner, undos)))
    return all_of(undos)


def _replace(module: str, owner: str, undos: list[Callable[[], None]]) -> None:
    undos.append(replace(getattr(sys.modules[module], owner), _MAKE, _marking))


def _marking(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def make(*args: Any, **kwargs: Any) -> Any:
        client = original(*args, **kwargs)
        with guard.absorb("marking celery's redis clients"):
            mark(client.connection_pool)
        return client

    return make
