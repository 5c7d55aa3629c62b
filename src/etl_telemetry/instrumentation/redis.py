"""redis: no spans outside of a request, a task or a run, and none of Celery's plumbing.

A Redis broker is polled for ever by every worker. Each poll would be a trace of
its own, of no use to anybody. Spans appear only under another span.

Inside of a task and of a publish Celery itself talks to Redis: messages, results, the
counting of chords. `etl_telemetry.celery` marks the connection pools that these go
through (`mark`), and commands on a marked pool make no spans.
`broker_commands` shows all of it.

Query texts and documents (`FT.SEARCH`, trap 23) are removed in `runtime`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo, undo_of
from etl_telemetry.instrumentation.under_parent import UnderParent

_MARK = "_etl_telemetry_plumbing"


def mark(pool: object) -> None:
    """Say that what goes through this connection pool is plumbing.

    >>> from types import SimpleNamespace
    >>> mark(SimpleNamespace())
    """
    setattr(pool, _MARK, True)


def instrument(instrumentor: Instrumentor | None, config: Config) -> Undo | None:
    """Instrument redis (`table.Adapter`)."""
    if instrumentor is None:
        return None
    if config.broker_commands:
        instrumentor.instrument()
        return undo_of(instrumentor)
    instrumentor.instrument(tracer_provider=UnderParent())
    uninstrument = undo_of(instrumentor)
    if uninstrument is None:
        return None
    unwraps = _silence()

    def undo() -> None:
        for unwrap in unwraps:
            unwrap()
        uninstrument()

    return undo


def _silence() -> list[Callable[[], None]]:
    """Keep commands on marked pools from the instrumentor's wrappers; return the undos."""
    import redis.client  # The instrumentor has it already.

    return [
        _around(redis.client.Redis, "execute_command"),
        _around(redis.client.Pipeline, "execute"),
        _around(redis.client.Pipeline, "immediate_execute_command"),
    ]


def _around(owner: Any, name: str) -> Callable[[], None]:
    theirs = vars(owner)[name]

    @functools.wraps(theirs)
    def ours(client: Any, *args: Any, **kwargs: Any) -> Any:
        # Hot path: every command.
        if hasattr(client.connection_pool, _MARK):
            with suppress_instrumentation():
                return theirs.__get__(client)(*args, **kwargs)
        return theirs.__get__(client)(*args, **kwargs)

    setattr(owner, name, ours)
    return lambda: setattr(owner, name, theirs)
