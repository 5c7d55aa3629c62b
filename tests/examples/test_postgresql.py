"""The platform on PostgreSQL: the same pipelines with the same counts, loaded by COPY."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.postgresql import postgresql

__all__ = ["postgresql"]

SUITE = Path(__file__).parent / "suite"


def test_pipelines_count_the_same_on_postgresql(platform: Any, postgresql: str) -> None:
    """Flights, weather, delay report and the mapped fleet file end with the counts of SQLite."""
    command = platform.command("test", str(SUITE), "--pattern", "suite_runs.py")
    done = platform.run(*command, "-k", "Pipelines", "-k", "Life", DATABASE_URL=postgresql)
    assert done.returncode == 0, done.stderr
    assert "Ran 14 tests" in done.stderr


def test_rows_are_copied(platform: Any, postgresql: str) -> None:
    """PostgreSQL loads rows by one COPY, with empty text as text and, where asked, as NULL."""
    (platform.data / "rows.csv").write_text("UA,,EWR\nUA,N1,JFK\n")
    script = """
import django; django.setup()
from pathlib import Path
from django.conf import settings
from django.db import connection
from apps.warehouse import bulk
class Row:
    class _meta: db_table = "rows"
with connection.cursor() as cursor:
    for nulls in (False, True):
        cursor.execute("CREATE TEMPORARY TABLE rows (carrier text, tailnum text, origin text)")
        number = bulk.insert_csv(
            Row, ("carrier", "tailnum", "origin"), settings.DATA_DIR / "rows.csv", nulls=nulls)
        cursor.execute("SELECT * FROM rows")
        print(connection.vendor, number, cursor.fetchall())
        cursor.execute("DROP TABLE rows")
"""
    done = platform.run(
        platform.command()[0], "-c", script, DATABASE_URL=postgresql, OTEL_SDK_DISABLED="true",
        DJANGO_SETTINGS_MODULE="etl_platform.settings",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "postgresql 2 [('UA', '', 'EWR'), ('UA', 'N1', 'JFK')]",
        "postgresql 2 [('UA', None, 'EWR'), ('UA', 'N1', 'JFK')]",
    ]
