"""What a metric amounts to: the totals of its series, grouped and summed by its kind's rule."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from etl_telemetry.viewer import merge, rows
from etl_telemetry.viewer.records import Attributes, Json, Value

Key: TypeAlias = tuple[Json, ...]

_TOTALS = "SELECT start_ns, time_ns, value FROM totals WHERE series_id = ? ORDER BY start_ns"


class _Total(NamedTuple):
    """One row of table `totals`."""

    series_id: int
    time_ns: int
    value: Value


def grouped(
    db: sqlite3.Connection, found: Sequence[sqlite3.Row], by: Sequence[str]
) -> dict[Key, Value]:
    """Return one value per group of series of one metric; see `Query.sum_latest`.

    Raises:
        ValueError: The series are of more than one kind.
    """
    kinds = sorted({row["kind"] for row in found})
    if len(kinds) > 1:
        raise ValueError(
            f"metric {found[0]['metric']!r} arrived as {' and as '.join(kinds)}, which have no "
            "common sum; select one of them by where="
        )
    groups: dict[Key, list[sqlite3.Row]] = {}
    for row in found:
        groups.setdefault(_key(row, by), []).append(row)
    combine = _RULES.get(kinds[0], _sum) if kinds else _sum
    sums = {key: combine([_totals(db, row) for row in group]) for key, group in groups.items()}
    return {key: value for key, value in sums.items() if value is not None}


def _key(row: sqlite3.Row, by: Sequence[str]) -> Key:
    """Return the group of a series; lists and maps become JSON text, since a dict needs hashes."""
    attributes: Attributes = json.loads(row["resource"]) | json.loads(row["attributes"])
    parts = (attributes.get(name) for name in by)
    return tuple(json.dumps(part) if isinstance(part, list | dict) else part for part in parts)


def _totals(db: sqlite3.Connection, row: sqlite3.Row) -> list[_Total | None]:
    """Return the totals of one series by start time; None where the writer ended it."""
    return [
        None if value is None else _Total(row["id"], time_ns, value)
        for time_ns, value in (
            (total["time_ns"], rows.value(row, total["value"]))
            for total in db.execute(_TOTALS, (row["id"],))
        )
    ]


_Totals: TypeAlias = Sequence[Sequence[_Total | None]]


def _sum(series: _Totals) -> Value | None:
    """Add all starts of all series: what was counted stays counted."""
    values = [total.value for totals in series for total in totals if total]
    return merge.total(values) if values else None


def _sum_of_last(series: _Totals) -> Value | None:
    """Add the last start of each series: what an ended process held is gone with it."""
    return _sum([totals[-1:] for totals in series])


def _newest(series: _Totals) -> Value | None:
    """Return the value that was taken last."""
    known = [total for totals in series for total in totals if total]
    return max(known, key=lambda total: (total.time_ns, total.series_id)).value if known else None


_RULES: Mapping[str, Callable[[_Totals], Value | None]] = {
    "gauge": _newest,
    "updown": _sum_of_last,
}
