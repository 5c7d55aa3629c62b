"""The rules for flights: which are loaded, which are skipped, which are rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nyc.dataset import MISSING
from nyc.tally import Tally

SOURCE_COLUMNS = (
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_delay",
    "carrier", "flight", "tailnum", "origin", "dest", "air_time", "distance", "hour",
)  # fmt: skip
"""What a flights file must have; `EXTRACTED` is the same in the staging file."""

FLOWN = (
    "carrier", "number", "tailnum", "origin", "dest", "day", "hour",
    "scheduled", "dep_delay", "arr_delay", "air_time", "distance",
)  # fmt: skip
"""Columns of a flight that was flown and measured."""

QUARANTINED = (
    "carrier", "number", "tailnum", "origin", "dest", "day", "hour", "reason",
)  # fmt: skip
"""Columns of a flight that was set aside, with the reason."""

CANCELLED = "cancelled"
NO_ARRIVAL = "no_arrival"
MALFORMED = "malformed"
OUTSIDE_WINDOW = "outside_window"


def iso_day(year: str, month: str, day: str) -> str:
    """Return `2013-01-31` for the three columns of the data set.

    >>> iso_day("2013", "1", "31")
    '2013-01-31'
    """
    return f"{year}-{month:0>2}-{day:0>2}"


def extract(
    rows: Iterable[Sequence[str]],
    columns: Sequence[int],
    *,
    since: str,
    until: str,
    put: Callable[[list[str]], object],
) -> Tally:
    """Hand the needed columns of every row in the window to `put`.

    `columns` are the positions of `SOURCE_COLUMNS`; `since` and `until` are ISO days,
    both included. Rows outside the window are skipped.
    """
    tally = Tally()
    year, month, day = columns[:3]
    outside = 0
    for tally.read, row in enumerate(rows, 1):
        if since <= iso_day(row[year], row[month], row[day]) <= until:
            put([row[index] for index in columns])
        else:
            outside += 1
    tally.processed = tally.read - outside
    if outside:
        tally.skip(OUTSIDE_WINDOW, outside)
    return tally


def transform(
    rows: Iterable[Sequence[str]],
    *,
    flown: Callable[[tuple[object, ...]], object],
    quarantined: Callable[[tuple[object, ...]], object],
) -> Tally:
    """Sort extracted rows into flights that were flown and flights to set aside.

    - no `dep_time`: the flight was cancelled. Nothing is wrong with the row, but there
      is no flight to load: **skipped** (8,255 in the whole data set);
    - departed, but no `arr_delay`: diverted, or never measured: **rejected** (1,175);
    - a number that is not one: **rejected** (none; a damaged file has some).
    """
    tally = Tally()
    for tally.read, row in enumerate(rows, 1):
        (year, month, day, dep_time, scheduled, dep_delay, arr_delay,
         carrier, number, tailnum, origin, dest, air_time, distance, hour) = row  # fmt: skip
        tailnum = "" if tailnum == MISSING else tailnum
        date = iso_day(year, month, day)
        key = (carrier, number, tailnum, origin, dest, date, hour)
        if dep_time == MISSING:
            tally.skip(CANCELLED)
            quarantined((*key, CANCELLED))
        elif arr_delay == MISSING:
            tally.reject(NO_ARRIVAL)
            quarantined((*key, NO_ARRIVAL))
        else:
            try:
                numbers = tuple(map(int, (scheduled, dep_delay, arr_delay, air_time, distance)))
            except ValueError:
                tally.reject(MALFORMED)
                quarantined((*key, MALFORMED))
            else:
                flown((*key, *numbers))
                tally.processed += 1
    return tally
