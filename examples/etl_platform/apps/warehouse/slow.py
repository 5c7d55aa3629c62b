"""An SQL statement that takes a while, for the incident `slow_sql`."""

from __future__ import annotations

import time

from django.db import connection

from etl_telemetry import connector_operation

COUNT = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000000)
    SELECT COUNT(*) FROM numbers
"""


def slow_query(seconds: float) -> int:
    """Keep the database busy for about `seconds`; return the number of result rows."""
    with connector_operation("sql", "select"), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_sleep(%s)", (seconds,))
            return len(cursor.fetchall())
        rows, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            cursor.execute(COUNT)
            rows += len(cursor.fetchall())
        return rows
