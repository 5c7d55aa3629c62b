"""Whether the ledger's tables are there: new code may run on the old schema during a deploy."""

from __future__ import annotations

import logging
import time

from django.db import connections

from etl_telemetry.django.ledger.models import Ledger, RunEnd, RunTotal

_log = logging.getLogger("etl_telemetry.django")
_LOOK_AGAIN = 10.0
"""Seconds between two looks while they lack."""


class _Seen:
    """What this process has seen."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.looked: dict[str, float] = {}


_seen = _Seen()


def ready(alias: str) -> bool:
    """Tell whether a database has all tables and columns; asked once where it has.

    It reads the catalogue of the database, which is safe inside of a transaction too.
    Where they lack it says so once, and looks again after a while.
    """
    if alias in _seen.there:
        return True
    looked = _seen.looked.get(alias)
    if looked is not None and time.monotonic() - looked < _LOOK_AGAIN:
        return False
    if _look(alias):
        _seen.there.add(alias)
        return True
    if looked is None:
        _log.warning("ledger_not_ready", extra={"database": alias})
    _seen.looked[alias] = time.monotonic()
    return False


def forget() -> None:
    """Look anew, for tests that take tables away."""
    _seen.there.clear()
    _seen.looked.clear()


def _look(alias: str) -> bool:
    connection = connections[alias]
    with connection.cursor() as cursor:
        names = set(connection.introspection.table_names(cursor))
        for model in (RunEnd, RunTotal, Ledger):
            options = model._meta
            if options.db_table not in names:
                return False
            described = connection.introspection.get_table_description(cursor, options.db_table)
            columns = {column.name for column in described}
            if not {field.column for field in options.local_fields} <= columns:
                return False
    return True
