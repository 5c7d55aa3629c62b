"""The read side: ask what arrived, from the process that stores it or from another one.

>>> from etl_telemetry.viewer.store import Store
>>> with Store() as store:
...     Query(store.path).traces()
[]
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from etl_telemetry.viewer import rows, sums
from etl_telemetry.viewer import runs as of_runs
from etl_telemetry.viewer.filters import Filter
from etl_telemetry.viewer.records import LogRecord, Metric, Run, Series, Span, TraceSummary, Value
from etl_telemetry.viewer.schema import StoreError

LIMIT = 10_000
"""Default bound of every list."""

_SPANS = """SELECT t.*, w.service, w.resource, w.scope_name, w.scope_version
FROM spans t JOIN sources w ON w.id = t.source_id"""
_LOGS = """SELECT t.*, w.service, w.resource, w.scope_name, w.scope_version
FROM logs t JOIN sources w ON w.id = t.source_id"""
_SERIES = """SELECT t.*, w.service, w.resource, w.scope_name, w.scope_version
FROM series t JOIN sources w ON w.id = t.source_id"""
_POINTS = "SELECT * FROM points WHERE series_id = ? ORDER BY seq"
_TRACES = """WITH f AS (
  SELECT trace_id, min(start_ns) AS start_ns, max(end_ns) AS end_ns, count(*) AS spans,
    sum(status = 'error') AS errors
  FROM spans GROUP BY trace_id
), t AS (
  SELECT trace_id, name, source_id, row_number() OVER (
    PARTITION BY trace_id ORDER BY parent_span_id IS NOT NULL, start_ns, seq) AS place
  FROM spans
)
SELECT f.trace_id, t.name, w.service, f.start_ns, f.end_ns, f.spans, f.errors
FROM f JOIN t ON t.trace_id = f.trace_id AND t.place = 1 JOIN sources w ON w.id = t.source_id"""
_METRICS = """SELECT metric, kind, temporality, unit, description, count(*) FROM series
GROUP BY metric, kind, temporality, unit, description ORDER BY metric, kind, temporality"""
_COUNTS = """SELECT 'spans', count(*) FROM spans UNION ALL SELECT 'logs', count(*) FROM logs
UNION ALL SELECT 'series', count(*) FROM series UNION ALL SELECT 'points', count(*) FROM points"""


class Query:
    """Ask one store; safe for many threads, since every call opens the file for reading."""

    def __init__(self, store_path: str | os.PathLike[str]) -> None:
        """Remember the file.

        Args:
            store_path: The file of a `Store`, usually `store.path`. It is opened by each call,
                which raises `StoreError` when it cannot be read.
        """
        self._path = Path(store_path).absolute()

    def traces(
        self, *, service: str | None = None, limit: int | None = LIMIT
    ) -> list[TraceSummary]:
        """Return the traces, newest first.

        Args:
            service: Only those whose root span is of this service.
            limit: At most so many; None for all.
        """
        found = Filter().equal("w.service", service)
        return [rows.summary(row) for row in self._all(_TRACES, found, "f.start_ns DESC", limit)]

    def trace(self, trace_id: str) -> list[Span]:
        """Return all spans of one trace, by start; [] for an unknown one."""
        return self.spans(trace_id=trace_id, limit=None)

    def runs(self, *, status: str | None = None, limit: int | None = LIMIT) -> list[Run]:
        """Return the runs of pipelines, newest first, those that run now included.

        Args:
            status: Only those with this status; "running" for those that have not ended.
            limit: At most so many; None for all.
        """
        with self._db() as db:
            return of_runs.runs(db, status=status, limit=limit)

    def spans(
        self,
        *,
        name: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        service: str | None = None,
        where: Mapping[str, object] | None = None,
        limit: int | None = LIMIT,
    ) -> list[Span]:
        """Return spans by start.

        Args:
            name: Only those of this name.
            trace_id: Only those of this trace (hex).
            span_id: Only the one with this id (hex).
            service: Only those of this `service.name`.
            where: Attribute -> value that it must have (and type: 1 is neither "1" nor True);
                an attribute that the span lacks is looked up in its resource.
            limit: At most so many; None for all.
        """
        found = Filter().equal("t.name", name).equal("t.trace_id", _hex(trace_id))
        found.equal("t.span_id", _hex(span_id)).equal("w.service", service).where(where)
        return [rows.span(row) for row in self._all(_SPANS, found, "t.start_ns, t.seq", limit)]

    def logs(
        self,
        *,
        trace_id: str | None = None,
        span_id: str | None = None,
        logger: str | None = None,
        severity_text: str | None = None,
        service: str | None = None,
        where: Mapping[str, object] | None = None,
        limit: int | None = LIMIT,
    ) -> list[LogRecord]:
        """Return log records in the order in which they arrived.

        Args:
            trace_id: Only those of this trace (hex).
            span_id: Only those of this span (hex).
            logger: Only those of this logger (the scope's name).
            severity_text: Only those of this severity, for instance "ERROR".
            service: Only those of this `service.name`.
            where: As in `spans`.
            limit: At most so many; None for all.
        """
        found = Filter().equal("t.trace_id", _hex(trace_id)).equal("t.span_id", _hex(span_id))
        found.equal("w.scope_name", logger).equal("t.severity_text", severity_text)
        found.equal("w.service", service).where(where)
        return [rows.log(row) for row in self._all(_LOGS, found, "t.seq", limit)]

    def metrics(self) -> list[Metric]:
        """Return the metrics that arrived, by name."""
        with self._db() as db:
            return [Metric(*row) for row in db.execute(_METRICS)]

    def series(self, metric: str, *, where: Mapping[str, object] | None = None) -> list[Series]:
        """Return the series of one metric with their history.

        Args:
            metric: Name of the metric.
            where: As in `spans`.
        """
        with self._db() as db:
            return [
                rows.series(row, db.execute(_POINTS, (row["id"],)).fetchall())
                for row in _find_series(db, metric, where)
            ]

    def sum_latest(
        self,
        metric: str,
        *,
        by: Sequence[str] = (),
        where: Mapping[str, object] | None = None,
    ) -> dict[sums.Key, Value]:
        """Return what one metric amounts to now, exactly, over all writers.

        - Cumulative sums and histograms: for each writer the latest value, plus the latest value
          before each of its restarts (a new start time, or without one a value that fell).
        - Deltas: the sum of all. A batch that was delivered twice counts twice.
        - Sums that may fall (up-down counters): the latest value of each writer's last start.
        - Gauges: the latest value of all writers. A series that its writer ended has no value.
        - Histograms: bucket by bucket; where bounds differ, on those that all have.

        Args:
            metric: Name of the metric.
            by: Attributes to group by; one that a point lacks is looked up in its resource.
            where: As in `spans`.

        Returns:
            One value per group. The key is the values of `by` in that order (None where
            absent), so it is `()` without `by`. {} when nothing arrived.

        Raises:
            ValueError: The metric arrived as two kinds, which have no common sum.
        """
        with self._db() as db:
            return sums.grouped(db, _find_series(db, metric, where), by)

    def services(self) -> list[str]:
        """Return the names of all services that sent something."""
        with self._db() as db:
            found = db.execute("SELECT DISTINCT service FROM sources ORDER BY service")
            return [row["service"] for row in found]

    def counts(self) -> dict[str, int]:
        """Return how many rows the store has, and as `dropped_...` how many it had to drop."""
        with self._db() as db:
            found = dict(map(tuple, db.execute(_COUNTS)))
            dropped = dict(map(tuple, db.execute("SELECT name, count FROM dropped")))
        return found | {f"dropped_{name}": dropped.get(name, 0) for name in found}

    def _all(self, select: str, found: Filter, order: str, limit: int | None) -> list[sqlite3.Row]:
        bound = -1 if limit is None else max(limit, 0)
        with self._db() as db:
            sql = f"{select} {found.sql} ORDER BY {order} LIMIT ?"
            return db.execute(sql, (*found.values, bound)).fetchall()

    @contextmanager
    def _db(self) -> Iterator[sqlite3.Connection]:
        """Open the file; all statements of a call see the same moment."""
        with closing(self._open()) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")
            yield db

    def _open(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=5)
        except sqlite3.Error as error:
            raise StoreError(
                f"cannot read the store {self._path}: {error}; give the file that a viewer writes "
                "(`etl-telemetry view --store PATH`)"
            ) from error


def _find_series(
    db: sqlite3.Connection, metric: str, where: Mapping[str, object] | None
) -> list[sqlite3.Row]:
    found = Filter().equal("t.metric", metric).where(where)
    return db.execute(f"{_SERIES} {found.sql} ORDER BY t.id", found.values).fetchall()


def _hex(value: str | None) -> str | None:
    return None if value is None else value.lower()
