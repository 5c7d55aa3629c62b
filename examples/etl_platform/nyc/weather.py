"""The rules for hourly weather: one observation per airport and hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nyc.dataset import MISSING
from nyc.flights import iso_day
from nyc.tally import Tally

SOURCE_COLUMNS = (
    "origin", "year", "month", "day", "hour",
    "temp", "wind_speed", "precip", "pressure", "visib",
)  # fmt: skip

OBSERVATION = (
    "origin", "day", "hour",
    "temperature", "wind_speed", "precipitation", "pressure", "visibility",
)  # fmt: skip
"""Columns of an observation; a missing measurement is an empty string."""

DUPLICATE_KEY = "duplicate_key"


def extract(
    rows: Iterable[Sequence[str]],
    columns: Sequence[int],
    *,
    put: Callable[[list[str]], object],
) -> Tally:
    """Hand the needed columns of every row to `put`."""
    tally = Tally()
    for tally.read, row in enumerate(rows, 1):
        put([row[index] for index in columns])
    tally.processed = tally.read
    return tally


def transform(rows: Iterable[Sequence[str]], *, put: Callable[[tuple[str, ...]], object]) -> Tally:
    """Keep the first observation of each (origin, day, hour), reject the later ones.

    On 3 November 2013 the clocks went back: local hour 1 happened twice at each of the
    three airports, so the key is there twice (3 rejected rows in the whole data set).
    """
    tally = Tally()
    seen: set[tuple[str, str, str]] = set()
    for tally.read, row in enumerate(rows, 1):
        origin, year, month, day, hour, *measured = row
        key = (origin, iso_day(year, month, day), hour)
        if key in seen:
            tally.reject(DUPLICATE_KEY)
            continue
        seen.add(key)
        put((*key, *("" if value == MISSING else value for value in measured)))
        tally.processed += 1
    return tally
