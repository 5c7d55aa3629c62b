"""The write side: what arrived goes into one SQLite file.

>>> with Store() as store:
...     store.path.name
'telemetry.sqlite3'
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from etl_telemetry.viewer.flatten import Batch, PointRow, SeriesKey, Source
from etl_telemetry.viewer.schema import SCHEMA, VERSION, StoreError
from etl_telemetry.viewer.totals import fold

MAX_ROWS = 1_000_000

_SPAN = """INSERT INTO spans (source_id, trace_id, span_id, parent_span_id, name, kind, start_ns,
  end_ns, status, status_message, attributes, events, links)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (trace_id, span_id) DO UPDATE SET source_id = excluded.source_id,
  parent_span_id = excluded.parent_span_id, name = excluded.name, kind = excluded.kind,
  start_ns = excluded.start_ns, end_ns = excluded.end_ns, status = excluded.status,
  status_message = excluded.status_message, attributes = excluded.attributes,
  events = excluded.events, links = excluded.links, received = received + 1"""
_LOG = """INSERT INTO logs (source_id, time_ns, observed_ns, severity, severity_text, event_name,
  body, trace_id, span_id, attributes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_POINT = """INSERT INTO points (series_id, start_ns, time_ns, value, exemplars)
VALUES (?, ?, ?, ?, ?)"""


_NEW_SOURCE = """INSERT OR IGNORE INTO sources (resource, scope_name, scope_version, service)
VALUES (?, ?, ?, ?)"""
_SOURCE = """SELECT id FROM sources
WHERE resource = ? AND scope_name = ? AND scope_version = ?"""
_NEW_SERIES = """INSERT INTO series (source_id, metric, kind, temporality, unit, description,
  bounds, attributes) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"""
_SERIES = """SELECT id FROM series WHERE source_id = ? AND metric = ? AND kind = ?
  AND temporality = ? AND unit = ? AND description = ? AND bounds = ? AND attributes = ?"""

_TRIM = "DELETE FROM %(table)s WHERE seq <= (SELECT max(seq) FROM %(table)s) - ?"
_DROPPED = """INSERT INTO dropped VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET count = count + excluded.count"""


class Store:
    """Keep telemetry in one SQLite file; safe for many threads, readable by other processes.

    A span that arrives again replaces the first one (`Span.received` counts). A batch of log
    records that arrives again is kept again. Metric points are kept as history, and their exact
    totals apart from it, so that dropping old points does not change a sum.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, max_rows: int = MAX_ROWS
    ) -> None:
        """Open or make the file.

        Args:
            path: The file; None for a temporary one that `close` removes.
            max_rows: Spans, log records, points and series that are kept, each; past that the
                oldest are dropped and counted (of series the newest, since totals never drop).

        Raises:
            StoreError: The file cannot be opened, written, or is not ours.
        """
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._sources: dict[Source, int] = {}
        self._series: dict[tuple[int, SeriesKey], int] = {}
        self._owner = os.getpid()
        self._folder = tempfile.mkdtemp(prefix="etl-telemetry-") if path is None else None
        self._clean = weakref.finalize(self, _remove, self._folder, self._owner)
        self.path = Path(path if path is not None else f"{self._folder}/telemetry.sqlite3")
        """The file; give it to `Query`."""
        self._db = _open(self.path)
        self._series_count: int = self._db.execute("SELECT count(*) FROM series").fetchone()[0]

    def add(self, batch: Batch) -> None:
        """Write all of a batch, or nothing of it.

        Raises:
            StoreError: SQLite refused: disk full, file locked for long, store closed.
        """
        with self._transaction() as db:
            for source, spans in batch.spans:
                key = (self._source(source),)
                db.executemany(_SPAN, [key + row for row in spans])
            for source, logs in batch.logs:
                key = (self._source(source),)
                db.executemany(_LOG, [key + row for row in logs])
            for source, points in batch.points:
                self._add_points(self._source(source), points)
            for table, rows in (
                ("spans", batch.spans),
                ("logs", batch.logs),
                ("points", batch.points),
            ):
                if rows:
                    self._trim(table)

    def close(self) -> None:
        """Close the file; a temporary one is removed. Closing twice does nothing.

        Nor does closing in a forked child: the file is the parent's, and one of its threads may
        have held the lock when it forked.
        """
        if os.getpid() == self._owner:
            with self._lock:
                self._db.close()
            self._clean()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one write transaction; ids that it handed out are forgotten when it fails."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if isinstance(error, sqlite3.Error):
                    raise StoreError(f"cannot write to the store {self.path}: {error}") from error
                raise

    def _roll_back(self) -> None:
        self._sources.clear()
        self._series.clear()
        with suppress(sqlite3.Error):
            # Closed, or SQLite has rolled back by itself: there is nothing left to undo.
            self._db.execute("ROLLBACK")

    def _source(self, source: Source) -> int:
        found = self._sources.get(source)
        if found is None:
            self._db.execute(_NEW_SOURCE, source)
            found = self._db.execute(_SOURCE, source[:3]).fetchone()[0]
            self._sources[source] = found
        return found

    def _add_points(self, source_id: int, rows: list[PointRow]) -> None:
        for row in rows:
            series_id = self._series_id(source_id, row.series)
            if series_id is None:
                self._count_dropped("series", 1)
                continue
            self._db.execute(_POINT, (series_id, *row[1:]))
            fold(self._db, series_id, row)

    def _series_id(self, source_id: int, key: SeriesKey) -> int | None:
        """Return the id of a series, or None when the store has all the series that it may."""
        found = self._series.get((source_id, key))
        if found is None:
            row = self._db.execute(_SERIES, (source_id, *key)).fetchone()
            if row is None and self._series_count >= self._max_rows:
                return None
            if row is None:
                row = self._db.execute(_NEW_SERIES, (source_id, *key)).fetchone()
                self._series_count += 1
            found = self._series[source_id, key] = row[0]
        return found

    def _trim(self, table: str) -> None:
        """Drop the oldest rows past the bound; `seq` has no gaps, so this needs no count."""
        dropped = self._db.execute(_TRIM % {"table": table}, (self._max_rows,)).rowcount
        if dropped > 0:
            self._count_dropped(table, dropped)

    def _count_dropped(self, name: str, count: int) -> None:
        self._db.execute(_DROPPED, (name, count))


def _open(path: Path) -> sqlite3.Connection:
    """Open the file for writing, with our tables in it."""
    try:
        db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(_unwritable(path, error)) from error
    try:
        _prepare(db, path)
    except sqlite3.Error as error:
        db.close()
        raise StoreError(_unwritable(path, error)) from error
    except StoreError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and version != VERSION:
        raise StoreError(
            f"the store {path} must be a file of version {VERSION} of this viewer, "
            f"got version {version}; give another file, or remove this one"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.executescript(SCHEMA)
    db.execute(f"PRAGMA user_version = {VERSION}")


def _unwritable(path: Path, error: sqlite3.Error) -> str:
    return (
        f"cannot open the store {path} for writing: {error}; give a file in a folder that exists "
        "and that you may write to"
    )


def _remove(folder: str | None, owner: int) -> None:
    """Remove a temporary store, unless this is a forked child of its owner."""
    if folder is not None and os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
