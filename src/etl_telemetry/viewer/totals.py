"""Fold each data point into the exact total of its series, so that history may be dropped.

Table `totals` has one row per series, and per start time where the value is cumulative: a new
start time means that the writer began again at zero, and what it had counted before still counts.
"""

from __future__ import annotations

import json
import sqlite3

from etl_telemetry.viewer.flatten import PointRow
from etl_telemetry.viewer.merge import add, dump, parse
from etl_telemetry.viewer.records import Value

_UPSERT = """INSERT INTO totals VALUES (?, ?, ?, ?)
ON CONFLICT (series_id, start_ns) DO UPDATE SET time_ns = excluded.time_ns, value = excluded.value
WHERE excluded.time_ns >= time_ns"""
_ADD = """INSERT INTO totals VALUES (?, ?, ?, ?)
ON CONFLICT (series_id, start_ns) DO UPDATE SET time_ns = max(time_ns, excluded.time_ns),
  value = excluded.value"""
_LATEST = "SELECT value FROM totals WHERE series_id = ? AND start_ns = ?"
_NEWEST = "SELECT start_ns, value FROM totals WHERE series_id = ? ORDER BY start_ns DESC LIMIT 1"


_CURRENT = {("gauge", ""), ("updown", "cumulative")}
"""Kinds that tell what is now, so that an ended series has no value any more."""


def fold(db: sqlite3.Connection, series_id: int, row: PointRow) -> None:
    """Bring the total of one series up to date with one point."""
    key = row.series
    if row.value is None and (key.kind, key.temporality) not in _CURRENT:
        return  # The series has ended; what it counted stays counted.
    start, value = row.start_ns, row.value
    if key.temporality == "delta" and value is not None:
        db.execute(_ADD, (series_id, 0, row.time_ns, _added(db, series_id, row, value)))
        return
    if key.kind == "gauge":
        start = 0
    elif start == 0 and key.kind != "updown" and value is not None:
        start = _unknown_start(db, series_id, row, value)
    db.execute(_UPSERT, (series_id, start, row.time_ns, value))


def _added(db: sqlite3.Connection, series_id: int, row: PointRow, value: str) -> str:
    """Return the running sum of a series of deltas."""
    found = db.execute(_LATEST, (series_id, 0)).fetchone()
    if found is None:
        return value
    return dump(add(_parse(row, found[0]), _parse(row, value)))


def _unknown_start(db: sqlite3.Connection, series_id: int, row: PointRow, value: str) -> int:
    """Return a start time for a writer that gives none: it began again when the value fell."""
    found = db.execute(_NEWEST, (series_id,)).fetchone()
    if found is None:
        return 0
    if _size(_parse(row, value)) < _size(_parse(row, found[1])):
        return row.time_ns
    start: int = found[0]
    return start


def _parse(row: PointRow, text: str) -> Value:
    return parse(row.series.kind, json.loads(row.series.bounds), text)


def _size(value: Value) -> int | float:
    return value if isinstance(value, int | float) else value.count
