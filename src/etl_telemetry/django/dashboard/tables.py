"""Whether our tables are there: new code may run on the old schema during a deploy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections, models, router

_there: set[tuple[str, str]] = set()


def lacking(needed: Iterable[type[models.Model]]) -> list[str]:
    """Return the tables that lack; asked once of those that are there.

    It reads the catalogue of the database, which fails no transaction of the host.
    """
    unknown = [
        (alias, model._meta.db_table)
        for model in needed
        if (alias := router.db_for_read(model), model._meta.db_table) not in _there
    ]
    for alias in {alias for alias, _ in unknown}:
        connection: Any = connections[alias]
        with connection.cursor() as cursor:
            names = set(connection.introspection.table_names(cursor))
        seen = [table for where, table in unknown if where == alias and table in names]
        _there.update((alias, table) for table in seen)
    return [table for alias, table in unknown if (alias, table) not in _there]


def forget() -> None:
    """Look anew, for tests that take tables away."""
    _there.clear()
