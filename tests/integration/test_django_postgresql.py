"""Django on a real PostgreSQL server, with both drivers: spans, pool, the server's own view."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.postgresql import postgresql

__all__ = ["postgresql"]

TESTS = Path(__file__).parent.parent
SECRET = "ada@example.com"
SETUP = f"""
import io, json, os, sys
driver = sys.argv[1]

class Hidden:
    def find_spec(self, name, *_):
        if driver == "psycopg2" and name == "psycopg":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
from urllib.parse import urlsplit
from django.conf import settings
url = urlsplit(os.environ["DATABASE_URL"])
database = {{
    "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": url.username,
    "PASSWORD": url.password or "", "HOST": url.hostname or os.environ["DATABASE_HOST"],
    "PORT": str(url.port or ""), "OPTIONS": json.loads(os.environ["DATABASE_OPTIONS"]),
}}
settings.configure(DATABASES={{"default": database, "again": database}}, INSTALLED_APPS=[])
import django
django.setup()
from django.db import connection, models, transaction
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from support.telemetry import telemetry
from etl_telemetry import queries
from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
from etl_telemetry.redaction import Policy
from etl_telemetry.runtime.gate import Gate

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,database"
seen = telemetry()
table.instrument(Config(instrumentations=("django", driver)))
tracer = trace.get_tracer("test")
SECRET = "{SECRET}"

def told():
    gate = Gate(SpanProcessor(), policy=Policy())
    spans = [gate.clean(span) for span in seen.spans()]
    assert SECRET not in str([span.to_json() for span in spans]), spans
    return [
        [s.name, s.kind.name, s.attributes["db.query.text"], s.status.status_code.name]
        for s in spans if s.name != "load"
    ]

def measured():
    return {{
        name: sorted(
            [*(value for _, value in key), getattr(point, "count", getattr(point, "value", None))]
            for key, point in found.items()
        )
        for name, found in seen.points().items() if name.startswith("database.")
    }}

class Person(models.Model):
    mail = models.TextField()
    class Meta:
        app_label = "people"
"""
WORK = """
with connection.schema_editor() as editor:
    editor.create_model(Person)
seen.clear()
with tracer.start_as_current_span("load"), queries.Tally() as tally:
    Person.objects.create(mail=SECRET)
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO people_person (mail) VALUES (%s)", [(SECRET,), ("b",)])
        cursor.execute(f"SELECT count(*) FROM people_person WHERE mail = '{SECRET}'")
        statement = "COPY people_person (mail) FROM STDIN"
        if driver == "psycopg2":
            cursor.copy_expert(statement, io.StringIO(f"{SECRET}\\nc\\n"))
        else:
            with cursor.copy(statement) as copy:
                copy.write_row([SECRET])
                copy.write_row(["c"])
    with transaction.atomic():
        mails = list(Person.objects.values_list("mail", flat=True).iterator(2))
sent = told()
try:
    with transaction.atomic():
        raise KeyError
except KeyError:
    connection.close()
connection.ensure_connection()
print(json.dumps([len(mails), tally.number, sent, measured()]))
with connection.cursor() as cursor:
    cursor.execute("DROP TABLE people_person")
"""
RAW = """
import asyncio, psycopg
dsn = os.environ["DATABASE_URL"]
with tracer.start_as_current_span("load"), queries.Tally() as tally:
    with psycopg.connect(dsn) as raw:
        raw.execute("CREATE TEMPORARY TABLE t (mail text)")
        with raw.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
            copy.write_row([SECRET])
        with raw.cursor(name="slowly") as cursor:
            print(cursor.execute(f"SELECT mail FROM t WHERE mail = '{SECRET}'").fetchall())

    async def work():
        async with await psycopg.AsyncConnection.connect(dsn) as raw:
            async with raw.cursor() as cursor:
                async with cursor.copy("COPY (SELECT 1) TO STDOUT") as copy:
                    print([row async for row in copy.rows()])
            async with raw.cursor(name="slowly") as cursor:
                await cursor.execute("SELECT 2")
    asyncio.run(work())
    try:
        with psycopg.connect(dsn) as raw, raw.cursor() as cursor:
            with cursor.copy(f"COPY nothing ('{SECRET}') FROM STDIN"):
                pass
    except psycopg.Error as error:
        print(type(error).__name__)
print(json.dumps([tally.number, told()]))
"""
RAW_2 = """
import psycopg2
dsn = os.environ["DATABASE_URL"]
with tracer.start_as_current_span("load"), queries.Tally() as tally:
    raw = psycopg2.connect(dsn)
    with raw, raw.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE t (mail text)")
        cursor.copy_from(io.StringIO(f"{SECRET}\\n"), "t")
        cursor.copy_to(io.StringIO(), "t")
    with raw, raw.cursor(name="slowly") as cursor:
        cursor.execute("SELECT mail FROM t")
        print(cursor.fetchall())
print(json.dumps([tally.number, told()]))
"""
SERVER = """
from etl_telemetry.django.database import server
connection.ensure_connection()
found = [[metric.name, value, labels] for metric, value, labels in server.read()]
with connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    (truth,) = cursor.fetchone()
print(json.dumps([found, truth]))
"""
POOL = """
import threading, time
begun, end = threading.Event(), threading.Event()

def points():
    return {
        name: sorted([*(value for _, value in key), point.value] for key, point in found.items())
        for name, found in seen.points().items() if ".pool." in name
    }

def told_at_last(name, expected):
    last = time.monotonic() + 60
    while points()[name] != expected:
        assert time.monotonic() < last, points()
        time.sleep(0.01)
    return points()

def work():
    connection.ensure_connection()
    begun.set()
    end.wait(60)
    connection.close()

nothing = points()
connection.ensure_connection()
threads = [threading.Thread(target=work) for _ in range(2)]
threads[0].start()
begun.wait(60)
both = points()
threads[1].start()
waiting = told_at_last("database.pool.waiting", [["default", 1]])
end.set()
for thread in threads:
    thread.join()
connection.close()
idle = told_at_last("database.pool.connections", [["default", "idle", 2], ["default", "in_use", 0]])
connection.close_pool()
print(json.dumps([nothing, both, waiting, idle]))
"""


def run(script: str, url: str, driver: str, **options: object) -> Any:
    """Run a script; return what it prints as JSON at its end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETUP + script, driver],
        env={
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "DATABASE_URL": url,
            "DATABASE_HOST": url.rpartition("host=")[2],
            "DATABASE_OPTIONS": json.dumps(options),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def sent(*statements: str) -> list[list[str]]:
    """Return what is told of statements that went well."""
    return [[text.partition(" ")[0], "CLIENT", text, "UNSET"] for text in statements]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_every_way_to_send_a_statement_is_one_span(postgresql: str, driver: str) -> None:
    """`executemany`, COPY, a server-side cursor: once each, with no value of any row; measured."""
    assert run(WORK, postgresql, driver) == [
        5,
        5,
        sent(
            'INSERT INTO "people_person" ("mail") VALUES (%s) RETURNING "people_person"."id"',
            "INSERT INTO people_person (mail) VALUES (%s)",
            "SELECT count(*) FROM people_person WHERE mail = ?",
            "COPY people_person (mail) FROM STDIN",
            'SELECT "people_person"."mail" AS "mail" FROM "people_person"',
        ),
        {
            "database.query.duration": [
                ["default", "INSERT", "success", 2],
                ["default", "SELECT", "success", 2],
            ],
            # How many rows a server-side cursor has is not known when its query is sent.
            "database.rows": [["default", "INSERT", 3], ["default", "SELECT", 1]],
            "database.connect.duration": [["default", "success", 1]],
            "database.transactions": [["default", "committed", 1], ["default", "rolled_back", 1]],
            "database.client.connections": [
                ["default", "idle", 1],
                ["default", "in_transaction", 0],
                ["default", "in_use", 0],
            ],
        },
    ]


def test_psycopg_without_django_is_traced_as_well(postgresql: str) -> None:
    """COPY and named cursors, in both of its worlds; a COPY that fails is an error."""
    assert run(RAW, postgresql, "psycopg") == [
        3,
        [
            *sent(
                "CREATE TEMPORARY TABLE t (mail text)",
                "COPY t FROM STDIN",
                "SELECT mail FROM t WHERE mail = ?",
                "COPY (SELECT ?) TO STDOUT",
                "SELECT ?",
            ),
            ["COPY", "CLIENT", "COPY nothing (?) FROM STDIN", "ERROR"],
        ],
    ]


def test_psycopg2_without_django_is_traced_as_well(postgresql: str) -> None:
    """Each of its ways to COPY, and its named cursors."""
    assert run(RAW_2, postgresql, "psycopg2") == [
        2,
        sent(
            "CREATE TEMPORARY TABLE t (mail text)",
            "COPY t FROM STDIN",
            "COPY t TO STDOUT",
            "SELECT mail FROM t",
        ),
    ]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_the_server_tells_its_connections(postgresql: str, driver: str) -> None:
    """Once for both aliases that lead to it; the sum is what the server itself says."""
    found, truth = run(SERVER, postgresql, driver)
    by_state = {
        labels["state"]: value
        for name, value, labels in found
        if name == "database.server.connections"
    }
    rest = [one for one in found if one[0] != "database.server.connections"]
    assert set(by_state) >= {"active", "idle", "idle_in_transaction"}
    assert by_state["active"] == 1
    assert sum(by_state.values()) == truth
    assert rest == [
        ["database.server.connections.limit", 100, {"database.alias": "default"}],
        ["database.connections.active", truth, {"database.type": "postgresql"}],
    ]


def test_the_pool_of_django_is_told(postgresql: str) -> None:
    """Its connections, those that wait in it, and threads that wait for one."""
    pool = {"min_size": 2, "max_size": 2, "timeout": 60}
    nothing, both, waiting, idle = run(POOL, postgresql, "psycopg", pool=pool)

    def told(idle: int, in_use: int, waiting: int) -> dict[str, list[list[object]]]:
        return {
            "database.pool.connections": [["default", "idle", idle], ["default", "in_use", in_use]],
            "database.pool.waiting": [["default", waiting]],
        }

    assert nothing == {}
    assert both == told(0, 2, 0)
    assert waiting == told(0, 2, 1)
    assert idle == told(2, 0, 0)
