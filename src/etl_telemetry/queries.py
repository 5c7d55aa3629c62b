"""Count the database queries of a request, a task or a step, and find the one it repeats.

A `Tally` is current in a context variable, so it is there in every asyncio task, and
every thread of `sync_to_async`, that works for its request. Not in OpenTelemetry's own
context, which other instrumentations replace. Whoever talks to the database calls `count`.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from contextvars import ContextVar
from typing import Self

from etl_telemetry import redaction
from etl_telemetry.catalogue import (
    DB_QUERY_COUNT,
    DB_QUERY_DURATION,
    DB_REPEATED_COUNT,
    DB_REPEATED_STATEMENT,
    OTHER,
)

MAX_STATEMENTS = 200
"""Different statements that one tally tells apart; those past it are counted only."""
_MAX_LENGTH = 2_048


class Tally:
    """The queries of one piece of work so far, which `outer` counts too; safe for threads.

    >>> with Tally() as tally:
    ...     for number in (1, 2):
    ...         count(f"SELECT * FROM run WHERE id = {number}", 0.25)
    >>> tally.number, tally.seconds, tally.repeated()
    (2, 0.5, ('SELECT * FROM run WHERE id = ?', 2))
    """

    __slots__ = (
        "_before",
        "_lock",
        "_outer",
        "_statements",
        "number",
        "owner",
        "run_id",
        "seconds",
    )

    def __init__(self, owner: object = None, *, outer: Tally | None = None) -> None:
        self.owner = owner
        """Whose work it is; None where nobody asks."""
        self.number = 0
        """Queries so far."""
        self.seconds = 0.0
        """Seconds that they took together."""
        self.run_id: str | None = None
        """Id of the run that the work was last part of, or None."""
        self._outer = outer
        self._before: Tally | None = None
        self._statements: Counter[tuple[str, bool]] = Counter()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._before = current()
        _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Make current what was so before; nothing where another one is (work ends anywhere)."""
        if _current.get() is self:
            _current.set(self._before)

    def add(self, statement: object, seconds: float, *, quoted_names: bool = True) -> None:
        """Count a query here, and in every tally around this one; see `count`."""
        # As it is: its shape is asked for once, at the end, if at all.
        text = statement[:_MAX_LENGTH] if type(statement) is str else ""
        tally: Tally | None = self
        while tally is not None:
            tally._add((text, quoted_names), seconds)  # noqa: SLF001 - another one of this class
            tally = tally._outer  # noqa: SLF001 - as above

    def repeated(self) -> tuple[str, int] | None:
        """Return the shape of the statement that was sent most often, and how often.

        The shape has no literals. None where no statement was sent twice.
        """
        with self._lock:
            statements = list(self._statements.items())
        shapes: Counter[str] = Counter()
        if self.number > 1:
            for (text, quoted_names), number in statements:
                shapes[redaction.sql(text, quoted_names=quoted_names)] += number
        shape, number = max(shapes.items(), key=lambda item: item[1], default=("", 0))
        return (shape, number) if number > 1 else None

    def attributes(self) -> dict[str, str | int | float]:
        """Return what a span or a log record says of the queries; nothing where there were none."""
        if not self.number:
            return {}
        found: dict[str, str | int | float] = {
            DB_QUERY_COUNT: self.number,
            DB_QUERY_DURATION: self.seconds,
        }
        repeated = self.repeated()
        if repeated is not None:
            found[DB_REPEATED_STATEMENT], found[DB_REPEATED_COUNT] = repeated
        return found

    def _add(self, sent: tuple[str, bool], seconds: float) -> None:
        with self._lock:
            self.number += 1
            self.seconds += seconds
            if sent[0] and (sent in self._statements or len(self._statements) < MAX_STATEMENTS):
                self._statements[sent] += 1


_OPERATION = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*([A-Za-z]+)")
_OPERATIONS = frozenset(
    ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "WITH", "COPY", "CALL", "EXPLAIN",
     "CREATE", "ALTER", "DROP", "TRUNCATE", "SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT",
     "SET", "SHOW", "PRAGMA", "DECLARE", "FETCH", "LOCK", "VACUUM", "ANALYZE", "REFRESH")
)  # fmt: skip
_current: ContextVar[Tally | None] = ContextVar("etl_telemetry_queries", default=None)


def current() -> Tally | None:
    """Return the tally of the innermost work that we are part of, or None.

    >>> current() is None
    True
    """
    return _current.get()


def count(statement: object, seconds: float, *, quoted_names: bool = True) -> None:
    """Count one query that was sent, with the seconds that it took; nothing where nobody counts.

    `quoted_names=False` is for databases in which double quotes hold strings (MySQL).

    >>> count("SELECT 1", 0.001)
    """
    tally = current()
    if tally is not None:
        tally.add(statement, seconds, quoted_names=quoted_names)


def operation(statement: object) -> str:
    """Return the first word of a statement in capitals, or ``other``: a bounded label.

    >>> operation("/* app */ (select 1)"), operation("FLY me TO the moon"), operation(b"SELECT 1")
    ('SELECT', 'other', 'other')
    """
    match = _OPERATION.match(statement) if isinstance(statement, str) else None
    word = match[1].upper() if match else OTHER
    return word if word in _OPERATIONS else OTHER
