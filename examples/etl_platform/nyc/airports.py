"""Airports enrichment: routes with the name and the place of their destination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nyc.tally import Tally

FIELDS = ("faa", "name", "lat", "lon", "alt", "tz", "tzone")
"""What the reference API returns of an airport."""

UNKNOWN_AIRPORT = "unknown_airport"


class Traffic(NamedTuple):
    """How many flights were scheduled on a route."""

    origin: str
    dest: str
    flights: int


def enrich(
    traffic: Iterable[Traffic], airports: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], Tally]:
    """Return the routes with their airports, and the accounting in flights.

    A destination that the API does not know is **rejected** with all its flights: 7,602
    in the whole data set, all to BQN, PSE, SJU and STT in the Caribbean.
    """
    tally = Tally()
    routes = []
    for origin, dest, flights in traffic:
        tally.read += flights
        airport = airports.get(dest)
        if airport is None:
            tally.reject(UNKNOWN_AIRPORT, flights)
            continue
        tally.processed += flights
        routes.append(
            {
                "origin": origin,
                "dest": dest,
                "flights": flights,
                "airport": airport["name"],
                "latitude": float(airport["lat"]),
                "longitude": float(airport["lon"]),
                "time_zone": airport["tzone"],
            }
        )
    return routes, tally
