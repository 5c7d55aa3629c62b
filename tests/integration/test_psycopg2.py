"""psycopg2 against a real PostgreSQL server: spans, metrics, and no value of any row."""

from __future__ import annotations

from support.postgresql import postgresql
from support.process import receiving, run

__all__ = ["postgresql"]

SECRET = "ada@example.com"

WORK = f"""
import os, psycopg2
from psycopg2.extras import execute_batch, execute_values
from etl_telemetry.setup import setup_telemetry
from etl_telemetry.tracing import span

telemetry = setup_telemetry(instrumentations=("psycopg2",))
connection = psycopg2.connect(os.environ["DATABASE_URL"])
with span("load"), connection, connection.cursor() as cursor:
    cursor.execute("CREATE TEMPORARY TABLE users (mail text PRIMARY KEY, age int)")
    execute_values(cursor, "INSERT INTO users VALUES %s", [("{SECRET}", 36), ("b@b.c", 1)])
    execute_batch(cursor, "UPDATE users SET age = %s WHERE mail = %s", [(37, "{SECRET}")])
    cursor.execute("SELECT age FROM users WHERE mail = '{SECRET}'")
    print(cursor.fetchall())
try:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO users VALUES (%s, 1)", ("{SECRET}",))
except psycopg2.errors.UniqueViolation as error:
    print("Key (mail)=({SECRET})" in str(error))
print(telemetry.shutdown(20))
"""  # noqa: S608 - the script of a child process


def test_queries_are_spans_and_measurements_without_values(postgresql: str) -> None:
    """`execute_values` hands over mogrified bytes: upstream alone would record every row."""
    with receiving() as (receiver, query):
        done = run(WORK, receiver.address, DATABASE_URL=postgresql)
        spans = [span for span in query.spans() if span.kind == "client"]
        durations = query.sum_latest("db.client.operation.duration", by=("db.system.name",))
        everything = str(query.spans()) + str(query.logs())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[(37,)]", "True", "True"]
    assert [span.attributes["db.query.text"] for span in spans] == [
        "CREATE TEMPORARY TABLE users (mail text PRIMARY KEY, age int)",
        "INSERT INTO users VALUES (?,?), ...",
        "UPDATE users SET age = ? WHERE mail = ?",
        "SELECT age FROM users WHERE mail = ?",
        "INSERT INTO users VALUES (%s, ?)",
    ]
    assert [span.status for span in spans] == ["unset"] * 4 + ["error"]
    assert getattr(durations[("postgresql",)], "count", None) == 5
    assert SECRET not in everything
