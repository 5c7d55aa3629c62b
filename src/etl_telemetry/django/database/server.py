"""What the database servers say of their connections: for the observer, one process for all.

Every web worker would report the same number. So nothing here is read unless the
observer asks, and each server is asked once, however many aliases lead to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import connections

from etl_telemetry.catalogue import (
    DATABASE_ALIAS,
    DATABASE_CONNECTION_LIMIT,
    DATABASE_CONNECTIONS,
    DATABASE_SERVER_CONNECTIONS,
    DATABASE_TYPE,
    STATE,
    UNKNOWN,
    Metric,
)

Read = tuple[Metric, int, Mapping[str, str]]
"""A gauge, its value, its labels: the arguments of the observer's `Reading`."""

_POSTGRESQL_STATES = ("active", "idle", "idle_in_transaction")


def read() -> list[Read]:
    """Return the connections of each database server by state, their limit, and those by type.

    SQLite has no server: it is left out. Raises Django's `DatabaseError` where a server
    does not answer; the sums would be wrong without it.
    """
    found: list[Read] = []
    by_type: Counter[str] = Counter()
    for alias, ask in _servers():
        connection = connections[alias]
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            states, limit = ask(cursor)
        by_type[connection.vendor] += sum(states.values())
        found += [
            (DATABASE_SERVER_CONNECTIONS, number, {DATABASE_ALIAS: alias, STATE: state})
            for state, number in states.items()
        ]
        found.append((DATABASE_CONNECTION_LIMIT, limit, {DATABASE_ALIAS: alias}))
    of_types = ((DATABASE_CONNECTIONS, n, {DATABASE_TYPE: kind}) for kind, n in by_type.items())
    return [*found, *of_types]


def _servers() -> Iterator[tuple[str, Callable[[Any], tuple[dict[str, int], int]]]]:
    """Give the first alias of each server, and how that is asked."""
    known: set[tuple[object, ...]] = set()
    for alias in connections:
        connection = connections[alias]
        settings = connection.settings_dict
        server = (connection.vendor, settings["HOST"], str(settings["PORT"]))
        ask = _ASK.get(connection.vendor)
        if ask is not None and server not in known:
            known.add(server)
            yield alias, ask


def _postgresql(cursor: Any) -> tuple[dict[str, int], int]:
    """Ask for clients by state; of other users' the state is hidden without `pg_read_all_stats`."""
    cursor.execute(
        "SELECT state, count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' GROUP BY state"
    )
    states = dict.fromkeys(_POSTGRESQL_STATES, 0)
    for state, number in cursor.fetchall():
        words = (state or UNKNOWN).replace("(", "").replace(")", "").split()
        states["_".join(words)] = number
    cursor.execute("SELECT current_setting('max_connections')::int")
    return states, cursor.fetchone()[0]


def _mysql(cursor: Any) -> tuple[dict[str, int], int]:
    """Ask for what needs no privilege: threads that are connected, and those that run."""
    numbers = {}
    for name in ("Threads_connected", "Threads_running"):
        cursor.execute("SHOW GLOBAL STATUS LIKE %s", [name])
        numbers[name] = int(cursor.fetchone()[1])
    connected, running = numbers["Threads_connected"], numbers["Threads_running"]
    cursor.execute("SELECT @@max_connections")
    active = min(running, connected)
    return {"active": active, "idle": connected - active}, cursor.fetchone()[0]


_ASK = {"postgresql": _postgresql, "mysql": _mysql}
