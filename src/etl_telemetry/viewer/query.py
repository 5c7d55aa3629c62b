"""The read side: ask what arrived, from the process that stores it or from another one.

>>> from etl_telemetry.viewer.store import Store
>>> with Store() as store:
...     Query(store.path).traces()
[]
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from etl_telemetry.viewer import merge
from etl_telemetry.viewer.filters import Filter, Loose
from etl_telemetry.viewer.records import (
    Attributes,
    Event,
    Json,
    Link,
    LogRecord,
    Metric,
    Point,
    Scope,
    Series,
    Span,
    TraceSummary,
    Value,
)

LIMIT = 10_000
"""Default bound of every list."""

Key = tuple[Json, ...]

_WRITER = "JOIN sources w ON w.id = t.source_id"
_WRITER_COLUMNS = "w.service, w.resource, w.scope_name, w.scope_version"
_SPANS = f"""SELECT t.trace_id, t.span_id, t.parent_span_id, t.name, t.kind, t.start_ns, t.end_ns,
  t.status, t.status_message, t.attributes, t.events, t.links, t.received, {_WRITER_COLUMNS}
FROM spans t {_WRITER}"""
_LOGS = f"""SELECT t.time_ns, t.observed_ns, t.severity, t.severity_text, t.event_name, t.body,
  t.trace_id, t.span_id, t.attributes, {_WRITER_COLUMNS} FROM logs t {_WRITER}"""
_SERIES = f"""SELECT t.id, t.metric, t.kind, t.temporality, t.bounds, t.attributes,
  {_WRITER_COLUMNS} FROM series t {_WRITER}"""
_TRACES = """WITH found AS (
  SELECT trace_id, min(start_ns) AS start_ns, max(end_ns) AS end_ns, count(*) AS spans,
    sum(status = 'error') AS errors
  FROM spans GROUP BY trace_id
), first AS (
  SELECT trace_id, name, source_id, row_number() OVER (
    PARTITION BY trace_id ORDER BY parent_span_id IS NOT NULL, start_ns, seq) AS place
  FROM spans
)
SELECT f.trace_id, t.name, w.service, f.start_ns, f.end_ns, f.spans, f.errors
FROM found f JOIN first t ON t.trace_id = f.trace_id AND t.place = 1
JOIN sources w ON w.id = t.source_id"""


class Query:
    """Ask one store; safe for many threads: every call opens the file for reading."""

    def __init__(self, store_path: str | os.PathLike[str]) -> None:
        """Remember the file.

        Args:
            store_path: The file of a `Store`, usually `store.path`.
        """
        self._uri = Path(store_path).absolute().as_uri() + "?mode=ro"

    def traces(
        self, *, service: str | None = None, limit: int | None = LIMIT
    ) -> list[TraceSummary]:
        """Return the traces, newest first.

        Args:
            service: Only those whose root span is of this service.
            limit: At most so many; None for all.
        """
        found = Filter().equal("w.service", service)
        sql = f"{_TRACES} {found.sql} ORDER BY f.start_ns DESC LIMIT ?"
        with self._db() as db:
            rows = db.execute(sql, (*found.values, _limit(limit)))
            return [TraceSummary(*row) for row in rows]

    def trace(self, trace_id: str) -> list[Span]:
        """Return all spans of one trace, by start; [] for an unknown one."""
        return self.spans(trace_id=trace_id, limit=None)

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
            where: Attribute -> value that it must have; an attribute that the span does not
                have is looked up in its resource.
            limit: At most so many; None for all.
        """
        found = Filter().equal("t.name", name).equal("t.trace_id", _hex(trace_id))
        found.equal("t.span_id", _hex(span_id)).equal("w.service", service).where(where)
        sql = f"{_SPANS} {found.sql} ORDER BY t.start_ns, t.seq LIMIT ?"
        with self._db() as db:
            return [_span(row) for row in db.execute(sql, (*found.values, _limit(limit)))]

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
        sql = f"{_LOGS} {found.sql} ORDER BY t.seq LIMIT ?"
        with self._db() as db:
            return [_log(row) for row in db.execute(sql, (*found.values, _limit(limit)))]

    def metrics(self) -> list[Metric]:
        """Return the metrics that arrived, by name."""
        sql = """SELECT metric, kind, temporality, unit, description, count(*) FROM series
        GROUP BY metric, kind, temporality, unit, description ORDER BY metric, kind, temporality"""
        with self._db() as db:
            return [Metric(*row) for row in db.execute(sql)]

    def series(self, metric: str, *, where: Mapping[str, object] | None = None) -> list[Series]:
        """Return the series of one metric with their history."""
        with self._db() as db:
            return [_series(db, row) for row in _series_rows(db, metric, where)]

    def sum_latest(
        self,
        metric: str,
        *,
        by: Sequence[str] = (),
        where: Mapping[str, object] | None = None,
    ) -> dict[Key, Value]:
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
            One value per group; the key is the values of `by` in that order (None where
            absent), so it is `()` without `by`. {} when nothing arrived.

        Raises:
            ValueError: The metric arrived as two kinds, which have no common sum.
        """
        with self._db() as db:
            rows = _series_rows(db, metric, where)
            kinds = sorted({row[2] for row in rows})
            if len(kinds) > 1:
                raise ValueError(
                    f"metric {metric!r} arrived as {' and '.join(kinds)}, which have no common "
                    "sum; select one writer by where="
                )
            groups: dict[str, tuple[Key, list[_Latest]]] = {}
            for row in rows:
                key = _key(by, row)
                group = groups.setdefault(json.dumps(key), (key, []))[1]
                group += _latest(db, row)
        sums = ((_hashable(key), _sum(kinds[0], latest)) for key, latest in groups.values())
        return {key: value for key, value in sums if value is not None}

    def services(self) -> list[str]:
        """Return the names of all services that sent something."""
        with self._db() as db:
            rows = db.execute("SELECT DISTINCT service FROM sources ORDER BY service")
            return [row[0] for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many rows the store has, and as `dropped_...` how many it had to drop."""
        with self._db() as db:
            found = {
                table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("spans", "logs", "series", "points")
            }
            dropped = dict(db.execute("SELECT name, count FROM dropped"))
        return found | {f"dropped_{table}": dropped.get(table, 0) for table in found}

    @contextmanager
    def _db(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._uri, uri=True, timeout=5)) as db:
            db.execute("BEGIN")  # One snapshot for all statements of a call.
            yield db


_Latest = tuple[int, int, int, Value | None]
"""Series id, start, time and value of one row of table `totals`."""


def _limit(limit: int | None) -> int:
    return -1 if limit is None else max(limit, 0)


def _hex(value: str | None) -> str | None:
    return None if value is None else value.lower()


def _span(row: tuple[str, ...]) -> Span:
    fixed, (attributes, events, links, received, service, resource, *scope) = row[:9], row[9:]
    return Span(
        *fixed,
        attributes=json.loads(attributes),
        events=tuple(Event(*event) for event in json.loads(events)),
        links=tuple(Link(*link) for link in json.loads(links)),
        received=received,
        service=service,
        resource=json.loads(resource),
        scope=Scope(*scope),
    )


def _log(row: tuple[str, ...]) -> LogRecord:
    head, body, ids, (attributes, service, resource, *scope) = row[:5], row[5], row[6:8], row[8:]
    return LogRecord(
        *head,
        json.loads(body),
        *ids,
        attributes=json.loads(attributes),
        service=service,
        resource=json.loads(resource),
        scope=Scope(*scope),
    )


def _series_rows(
    db: sqlite3.Connection, metric: str, where: Mapping[str, object] | None
) -> list[tuple[str, ...]]:
    found = Filter().equal("t.metric", metric).where(where)
    return db.execute(f"{_SERIES} {found.sql} ORDER BY t.id", found.values).fetchall()


def _series(db: sqlite3.Connection, row: tuple[str, ...]) -> Series:
    series_id, metric, kind, temporality, bounds, attributes, _, resource, *scope = row
    sql = "SELECT start_ns, time_ns, value, exemplars FROM points WHERE series_id = ? ORDER BY seq"
    return Series(
        metric,
        kind,
        temporality,
        attributes=json.loads(attributes),
        resource=json.loads(resource),
        scope=Scope(*scope),
        points=tuple(
            Point(start, time, _value(kind, bounds, value), tuple(json.loads(exemplars)))
            for start, time, value, exemplars in db.execute(sql, (series_id,))
        ),
    )


def _value(kind: str, bounds: str, text: str | None) -> Value | None:
    return None if text is None else merge.parse(kind, json.loads(bounds), text)


def _key(by: Sequence[str], row: tuple[str, ...]) -> Key:
    attributes: Attributes = json.loads(row[7]) | json.loads(row[5])
    return tuple(attributes.get(name) for name in by)


def _hashable(key: Key) -> Key:
    """Return a key with its lists and dicts as JSON text, so that it can key a dict."""
    return tuple(json.dumps(part) if isinstance(part, list | dict) else part for part in key)


def _latest(db: sqlite3.Connection, row: tuple[str, ...]) -> list[_Latest]:
    series_id, kind, bounds = int(row[0]), row[2], row[4]
    sql = "SELECT start_ns, time_ns, value FROM totals WHERE series_id = ? ORDER BY start_ns"
    return [
        (series_id, start, time, _value(kind, bounds, value))
        for start, time, value in db.execute(sql, (series_id,))
    ]


def _sum(kind: str, latest: Sequence[_Latest]) -> Value | None:
    """Return the value of one group, or None when it has none (any more)."""
    if kind == "gauge":
        known = [(time, series, value) for series, _, time, value in latest if value is not None]
        return max(known, key=lambda item: item[:2])[2] if known else None
    if kind == "updown":
        last: dict[int, Value | None] = {}
        for series, _, _, value in latest:  # By start, so the last one stays.
            last[series] = value
        values = [value for value in last.values() if value is not None]
    else:
        values = [value for _, _, _, value in latest if value is not None]
    return merge.total(values) if values else None
