"""A connection to the broker that waits for nobody longer than a few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Connection

_SECONDS = 3.0
"""For each step on the wire. The observer's own bound ends the series if all of them are slow."""
_BOUNDS = {
    "redis": {"socket_connect_timeout": _SECONDS, "socket_timeout": _SECONDS},
    "amqp": {"read_timeout": _SECONDS, "write_timeout": _SECONDS},
}


@contextmanager
def connected(app: Celery) -> Iterator[Any]:
    """Connect to the broker that `app` reads from; the application's own options win.

    Raises what kombu raises where the broker does not answer.
    """
    connection: Connection = app.connection_for_read(connect_timeout=_SECONDS)
    with connection:
        bounds = _BOUNDS.get(connection.transport.driver_type, {})
        connection.transport_options = {**bounds, **(connection.transport_options or {})}
        connection.connect()
        yield connection
