"""The lock of the observer in the project's database."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

from etl_telemetry import observing
from etl_telemetry.config import Config
from etl_telemetry.observer import FileLead, Lead

_TTL = 30.0
"""Seconds after which the server ends the session of an observer that has not been heard of."""
_IDLE_SINCE = 14_00_00
"""PostgreSQL that knows `idle_session_timeout`."""
_KEEPALIVES = {
    "connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}  # fmt: skip
"""libpq's: so that a network that swallows everything is noticed."""


def lead(config: Config, *, alias: str, path: Path | None) -> Lead:
    """Return the lock that fits: a file that was named, else the database, else a file.

    The file of SQLite's database is the same for all who share it; another database that is
    not PostgreSQL gives no lock that we know, so there it is one observer for each host.
    """
    connection = connections[alias]
    if path is not None:
        return FileLead(path)
    if connection.vendor == "postgresql":
        return PostgresLead(alias, f"{config.service_name} {config.observer_instance_id}")
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite" and Path(name).is_file():
        return FileLead(Path(f"{name}.observer.lock"))
    return observing.file_lead(config)


def of_project(config: Config) -> Lead | None:
    """Return the lock of the default database; None where Django is not set up."""
    return lead(config, alias=DEFAULT_DB_ALIAS, path=None) if apps.ready else None


class PostgresLead:
    """An advisory lock of PostgreSQL, held by a session of its own.

    The server gives it to the next one when the session ends: at once where its process is
    killed, and within 30 s where its host or the network is gone, or where it hangs (PostgreSQL
    14 or newer). It needs a session that is the observer's: behind PgBouncer in transaction
    mode, name an alias that goes to the server itself.
    """

    ttl = _TTL

    def __init__(self, alias: str, name: str) -> None:
        digest = hashlib.sha256(f"etl_telemetry.observer {name}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._alias = alias
        self._connection: Any = None
        self._held = False

    def hold(self) -> bool:
        """Take the lock, or ask the server whether the session that has it is still there."""
        try:
            return self._ask()
        except (DatabaseError, InterfaceError):
            self._close()
        # The session is gone, and the lock with it: try for both anew.
        return self._ask()

    def release(self) -> None:
        """Give the lock back, and end the session.

        The server ends a session some time after its client, and holds the lock until then.
        """
        if self._held:
            # A session that is gone has given it back.
            with suppress(DatabaseError, InterfaceError), self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [self._key])
        self._close()

    def _ask(self) -> bool:
        if self._connection is None:
            self._connection = self._open()
        with self._connection.cursor() as cursor:
            if self._held:
                cursor.execute("SELECT 1")
            else:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [self._key])
                self._held = cursor.fetchone()[0]
        return self._held

    def _open(self) -> Any:
        connection: Any = connections.create_connection(self._alias)
        settings = deepcopy(connection.settings_dict)
        options = {**_KEEPALIVES, **settings["OPTIONS"]}
        options.pop("pool", None)  # Nobody else may get this session.
        connection.settings_dict = {**settings, "OPTIONS": options, "AUTOCOMMIT": True}
        connection.connect()
        seconds = int(_TTL)
        with connection.cursor() as cursor:
            # The same on the server's side, which would else wait for two hours.
            cursor.execute("SET tcp_keepalives_idle = 5")
            cursor.execute("SET tcp_keepalives_interval = 5")
            cursor.execute("SET tcp_keepalives_count = 3")
            cursor.execute("SET statement_timeout = '5s'")
            if connection.pg_version >= _IDLE_SINCE:
                cursor.execute(f"SET idle_session_timeout = '{seconds}s'")
        return connection

    def _close(self) -> None:
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            connection.close()
