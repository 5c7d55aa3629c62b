"""The carrier delay report: flights joined with planes and weather, then aggregated.

A join step puts out matches: a flight without a partner stays in the report, but has
nothing to say about the age of its plane or the rain, and is accounted for by the join.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nyc.flights import CANCELLED, NO_ARRIVAL
from nyc.tally import Tally

NO_TAILNUM = "no_tailnum"
UNKNOWN_PLANE = "unknown_plane"
NO_WEATHER = "no_weather"
LATE_MINUTES = 15
"""A flight is late from here on, by the definition of the US authorities."""
OLD_PLANE_YEAR = 2000
"""A plane that was built before is an old one in the report."""


class Scheduled(NamedTuple):
    """A flight in the timetable, flown or not."""

    origin: str
    day: str
    hour: int
    tailnum: str
    arr_delay: int | None
    """Minutes; None when the flight was set aside."""
    reason: str
    """Why the flight was set aside; empty when it was flown and measured."""


def scheduled(row: Sequence[str]) -> Scheduled:
    """Return the flight that was staged as a row of text."""
    origin, day, hour, tailnum, arr_delay, reason = row
    return Scheduled(origin, day, int(hour), tailnum, int(arr_delay) if arr_delay else None, reason)


WeatherKey = tuple[str, str, int]
"""(origin, day, hour)"""


def join_planes(flights: Iterable[Scheduled], planes: Mapping[str, int | None]) -> Tally:
    """Count the flights whose plane is in the registry.

    Without a tail number there is nothing to look up: **skipped** (2,512 in the whole
    data set). A tail number that the registry does not know: **rejected** (50,094, most
    of them of AA and MQ, which report fleet numbers instead; 52,606 without a plane).
    """
    tally = Tally()
    for tally.read, flight in enumerate(flights, 1):
        if flight.tailnum in planes:
            tally.processed += 1
        elif flight.tailnum:
            tally.reject(UNKNOWN_PLANE)
        else:
            tally.skip(NO_TAILNUM)
    return tally


def join_weather(flights: Iterable[Scheduled], rain: Mapping[WeatherKey, float]) -> Tally:
    """Count the flights with an observation for their hour; without: **skipped** (1,556)."""
    tally = Tally()
    for tally.read, flight in enumerate(flights, 1):
        if (flight.origin, flight.day, flight.hour) in rain:
            tally.processed += 1
        else:
            tally.skip(NO_WEATHER)
    return tally


@dataclass(slots=True)
class Line:
    """One line of the report: a carrier's month at one airport. Delays in minutes."""

    origin: str
    scheduled: int = 0
    cancelled: int = 0
    without_arrival: int = 0
    delays: list[int] = field(default_factory=list)
    old_plane_delays: list[int] = field(default_factory=list)
    rain_delays: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return what is stored; a mean over nothing is None."""
        late = sum(1 for delay in self.delays if delay >= LATE_MINUTES)
        return {
            "origin": self.origin,
            "scheduled": self.scheduled,
            "cancelled": self.cancelled,
            "without_arrival": self.without_arrival,
            "late": late,
            "mean_delay": _mean(self.delays),
            "mean_delay_old_planes": _mean(self.old_plane_delays),
            "mean_delay_in_rain": _mean(self.rain_delays),
        }


def _mean(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def aggregate(
    flights: Iterable[Scheduled],
    *,
    planes: Mapping[str, int | None],
    rain: Mapping[WeatherKey, float],
) -> tuple[list[dict[str, object]], Tally]:
    """Return the report's lines by airport, and how many flights went into their delays.

    Flights that were cancelled are skipped and those that never arrived are rejected, as
    in the flights load: they are counted in a line, but have no delay.
    """
    lines: dict[str, Line] = {}
    tally = Tally()
    for tally.read, flight in enumerate(flights, 1):
        line = lines.setdefault(flight.origin, Line(flight.origin))
        line.scheduled += 1
        if flight.arr_delay is None:
            if flight.reason == CANCELLED:
                line.cancelled += 1
                tally.skip(CANCELLED)
            else:
                line.without_arrival += 1
                tally.reject(flight.reason or NO_ARRIVAL)
            continue
        tally.processed += 1
        line.delays.append(flight.arr_delay)
        built = planes.get(flight.tailnum)
        if built is not None and built < OLD_PLANE_YEAR:
            line.old_plane_delays.append(flight.arr_delay)
        if rain.get((flight.origin, flight.day, flight.hour), 0.0) > 0:
            line.rain_delays.append(flight.arr_delay)
    return [lines[origin].as_dict() for origin in sorted(lines)], tally


def by_month(flights: Iterable[Scheduled]) -> dict[int, list[Scheduled]]:
    """Group flights by month, 1 to 12."""
    months: dict[int, list[Scheduled]] = defaultdict(list)
    for flight in flights:
        months[int(flight.day[5:7])].append(flight)
    return months
