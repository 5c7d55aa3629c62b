"""The recorders of what Django asks its databases; none raises."""

from __future__ import annotations

from functools import lru_cache

from etl_telemetry import guard
from etl_telemetry.catalogue import (
    DATABASE_ALIAS,
    DATABASE_CONNECT_DURATION,
    DATABASE_QUERY_DURATION,
    DATABASE_ROWS,
    DATABASE_TRANSACTIONS,
    OPERATION,
    STATUS,
    QueryStatus,
    TransactionStatus,
)
from etl_telemetry.metrics.instruments import counter
from etl_telemetry.metrics.labels import bounded, status_of
from etl_telemetry.metrics.record import Seconds, observe


def record_database_query(
    alias: str,
    operation: str,
    status: QueryStatus | str,
    duration: Seconds,
    *,
    rows: int | None = None,
) -> None:
    """Measure one query, and count the rows that it returned or changed, where that is known.

    >>> record_database_query("default", "SELECT", "success", 0.002, rows=12)
    """
    with guard.absorb("record_database_query"):
        timed, labels = _query_labels(alias, operation, status)
        observe(DATABASE_QUERY_DURATION, duration, timed)
        if rows:
            counter(DATABASE_ROWS.name).add(rows, labels)


@lru_cache(maxsize=1_024)
def _query_labels(
    alias: str, operation: str, status: QueryStatus | str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels of durations and of rows. Remembered: some requests send many queries."""
    labels = {
        DATABASE_ALIAS: bounded(DATABASE_ALIAS, alias),
        OPERATION: bounded(OPERATION, operation),
    }
    return {**labels, STATUS: status_of(status, QueryStatus)}, labels


def record_database_connect(alias: str, status: QueryStatus | str, duration: Seconds) -> None:
    """Measure one attempt to get a connection.

    >>> record_database_connect("default", "success", 0.01)
    """
    with guard.absorb("record_database_connect"):
        labels = {
            DATABASE_ALIAS: bounded(DATABASE_ALIAS, alias),
            STATUS: status_of(status, QueryStatus),
        }
        observe(DATABASE_CONNECT_DURATION, duration, labels)


def record_database_transaction(alias: str, status: TransactionStatus | str) -> None:
    """Count one transaction that ended.

    >>> record_database_transaction("default", "rolled_back")
    """
    with guard.absorb("record_database_transaction"):
        labels = {
            DATABASE_ALIAS: bounded(DATABASE_ALIAS, alias),
            STATUS: status_of(status, TransactionStatus),
        }
        counter(DATABASE_TRANSACTIONS.name).add(1, labels)
