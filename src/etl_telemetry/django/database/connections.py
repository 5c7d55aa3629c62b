"""Connections of this process: what they do now, how long they take to open, what they commit."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import wraps
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from etl_telemetry import guard, metrics
from etl_telemetry.catalogue import (
    DATABASE_ALIAS,
    DATABASE_CLIENT_CONNECTIONS,
    DATABASE_POOL_CONNECTIONS,
    DATABASE_POOL_WAITING,
    SCOPE,
    STATE,
    ConnectionState,
    Metric,
    QueryStatus,
    TransactionStatus,
)
from etl_telemetry.django.database.watch import Watch
from etl_telemetry.django.wrapping import Wrapped


class Connections:
    """The connection objects of this process. Django keeps one for each thread and alias."""

    def __init__(self) -> None:
        self.active = True
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._watches: WeakKeyDictionary[Any, Watch] = WeakKeyDictionary()
        self._aliases: set[str] = set()
        self._pid = os.getpid()

    def watch(self, connection: Any) -> None:
        """Count what a connection does; once for each, however often it is opened."""
        wrappers = connection.execute_wrappers
        watch = next((one for one in wrappers if isinstance(one, Watch)), None)
        if watch is None:
            watch = Watch(connection)
            # First, not last: `with connection.execute_wrapper(...)` takes the last one away.
            wrappers.insert(0, watch)
        with self._here():
            self._watches[connection] = watch
            self._aliases.add(connection.alias)

    def forget(self) -> None:
        """Stop counting."""
        self.active = False
        for connection, watch in self.known():
            if watch in connection.execute_wrappers:
                connection.execute_wrappers.remove(watch)

    def known(self) -> list[tuple[Any, Watch]]:
        """Return the connections of this process with what watches them."""
        with self._here():
            return list(self._watches.items())

    def states(self, _: CallbackOptions) -> Iterable[Observation]:
        """Observe how many connections are open, by what they do; 0 where all are closed again."""
        if not self.active:
            return []
        found: Counter[tuple[str, ConnectionState]] = Counter()
        for connection, watch in self.known():
            if connection.connection is None:
                continue
            if watch.running:
                state = ConnectionState.IN_USE
            elif connection.in_atomic_block or not connection.autocommit:
                state = ConnectionState.IN_TRANSACTION
            else:
                state = ConnectionState.IDLE
            found[connection.alias, state] += 1
        return [
            Observation(found[alias, state], {DATABASE_ALIAS: alias, STATE: state.value})
            for alias in sorted(self._aliases)
            for state in ConnectionState
        ]

    def pools(self, _: CallbackOptions) -> Iterable[Observation]:
        """Observe the connections of Django's pools."""
        for alias, stats in self._pool_stats():
            idle = stats.get("pool_available", 0)
            for state, number in (
                (ConnectionState.IDLE, idle),
                (ConnectionState.IN_USE, stats.get("pool_size", 0) - idle),
            ):
                yield Observation(number, {DATABASE_ALIAS: alias, STATE: state.value})

    def waiting(self, _: CallbackOptions) -> Iterable[Observation]:
        """Observe the threads that wait for a connection of a pool."""
        for alias, stats in self._pool_stats():
            yield Observation(stats.get("requests_waiting", 0), {DATABASE_ALIAS: alias})

    def _pool_stats(self) -> Iterable[tuple[str, dict[str, int]]]:
        pools: dict[str, Any] = {}
        for connection, _ in self.known() if self.active else ():
            # Not `connection.pool`, which would make one. Only for PostgreSQL with psycopg 3.
            pool = getattr(connection, "_connection_pools", {}).get(connection.alias)
            if pool is not None:
                pools[connection.alias] = pool
        return [(alias, pool.get_stats()) for alias, pool in sorted(pools.items())]

    def _here(self) -> threading.Lock:
        """Return the lock; in a forked child with nothing of its parent's."""
        if self._pid != os.getpid():
            self._begin_anew()
        return self._lock


def connect() -> Callable[[], None]:
    """Follow Django's connections from now on; return how to undo that."""
    known = Connections()
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            known.watch(connection)
    wrapped = (
        Wrapped(BaseDatabaseWrapper, "connect", lambda before: _connecting(before, known)),
        Wrapped(BaseDatabaseWrapper, "commit", _ending(TransactionStatus.COMMITTED, known)),
        Wrapped(BaseDatabaseWrapper, "rollback", _ending(TransactionStatus.ROLLED_BACK, known)),
    )
    _observe(DATABASE_CLIENT_CONNECTIONS, known.states)
    _observe(DATABASE_POOL_CONNECTIONS, known.pools)
    _observe(DATABASE_POOL_WAITING, known.waiting)

    def undo() -> None:
        for one in wrapped:
            one.undo()
        known.forget()

    return undo


def _observe(metric: Metric, read: Callable[[CallbackOptions], Iterable[Observation]]) -> None:
    get_meter(SCOPE).create_observable_gauge(metric.name, [read], metric.unit, metric.description)


def _connecting(before: Callable[..., None], known: Connections) -> Callable[..., None]:
    @wraps(before)
    def connect(self: Any) -> None:
        if not known.active:
            before(self)
            return
        status = QueryStatus.ERROR
        started = perf_counter()
        try:
            before(self)
            status = QueryStatus.SUCCESS
        finally:
            metrics.record_database_connect(self.alias, status, perf_counter() - started)
        with guard.absorb("following a database connection"):
            known.watch(self)

    return connect


def _ending(
    status: TransactionStatus, known: Connections
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def wrap(before: Callable[..., None]) -> Callable[..., None]:
        @wraps(before)
        def end(self: Any) -> None:
            counts = known.active and self.connection is not None
            before(self)
            if counts:
                metrics.record_database_transaction(self.alias, status)

        return end

    return wrap
