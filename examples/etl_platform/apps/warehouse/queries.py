"""What the reports ask the warehouse, through an SQL connector."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator

from apps.connectors import sql
from apps.connectors.models import Connector
from etl_telemetry import traced
from nyc.airports import Traffic
from nyc.delays import Scheduled, WeatherKey

TRAFFIC = """
    SELECT origin, dest, COUNT(*) FROM (
        SELECT origin, dest FROM warehouse_flight WHERE carrier = %s
        UNION ALL
        SELECT origin, dest FROM warehouse_quarantinedflight WHERE carrier = %s
    ) AS scheduled GROUP BY origin, dest ORDER BY origin, dest
"""
SCHEDULED = """
    SELECT origin, day, hour, tailnum, arr_delay, '' FROM warehouse_flight WHERE carrier = %s
    UNION ALL
    SELECT origin, day, hour, tailnum, NULL, reason
    FROM warehouse_quarantinedflight WHERE carrier = %s
"""
RAIN = """
    SELECT origin, day, hour, precipitation FROM warehouse_observation
    WHERE day BETWEEN %s AND %s
"""


@traced
def traffic(connector: Connector, carrier: str) -> list[Traffic]:
    """Return how many flights a carrier scheduled on each route, flown or not."""
    return [Traffic(*row) for row in sql.select(connector, TRAFFIC, (carrier, carrier))]


def scheduled(connector: Connector, carrier: str) -> Iterator[Scheduled]:
    """Hand out the flights that a carrier scheduled, flown or not."""
    for origin, day, *rest in sql.stream(connector, SCHEDULED, (carrier, carrier)):
        yield Scheduled(origin, str(day), *rest)


@traced
def rain(connector: Connector, month: int) -> dict[WeatherKey, float]:
    """Return the precipitation of a month by airport, day and hour, in inches."""
    _, last = monthrange(2013, month)
    window = (f"2013-{month:02}-01", f"2013-{month:02}-{last}")
    rows = sql.select(connector, RAIN, window)
    return {(origin, str(day), hour): inches or 0.0 for origin, day, hour, inches in rows}
