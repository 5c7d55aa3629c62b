"""Query a database through an SQL connector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connections

from apps.connectors.models import Connector
from etl_telemetry import connector_operation

BATCH = 5_000


def select(connector: Connector, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    return list(stream(connector, query, parameters))


def stream(
    connector: Connector, query: str, parameters: Sequence[Any]
) -> Iterator[tuple[Any, ...]]:
    """Hand out the rows of a query while they come in."""
    database = connector.options.get("database", "default")
    with connector_operation("sql", "select"), connections[database].cursor() as cursor:
        cursor.execute(query, parameters)
        while batch := cursor.fetchmany(BATCH):
            yield from batch
