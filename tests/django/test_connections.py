"""What Django's database connections do: on SQLite, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent.parent
SETUP = """
import json, os, sys
from django.conf import settings
settings.configure(
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "default.db"},
        "warehouse": {"ENGINE": "django.db.backends.sqlite3", "NAME": "warehouse.db"},
        "broken": {"ENGINE": "django.db.backends.sqlite3", "NAME": "no/such/folder.db"},
    },
    INSTALLED_APPS=[],
)
import django
django.setup()
from django.db import DatabaseError, connection, connections, transaction
from opentelemetry import trace
from support.telemetry import telemetry
from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table

seen = telemetry()
before = connections["warehouse"]
before.ensure_connection()
table.instrument(Config(instrumentations=("django",)))
tracer = trace.get_tracer("test")

def execute(statement, params=None, alias="default", many=False):
    with connections[alias].cursor() as cursor:
        (cursor.executemany if many else cursor.execute)(statement, params)
        return cursor.fetchall() if statement.startswith("SELECT") else None

def points(*names):
    found = seen.points()
    return {
        name: sorted(
            [*(value for _, value in key), getattr(point, "count", getattr(point, "value", None))]
            for key, point in found.get(name, {}).items()
        )
        for name in names
    }
"""


def run(script: str, folder: Path) -> Any:
    """Run a script; return what it prints as JSON at its end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETUP + script],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_queries_are_measured_by_alias_operation_and_status(tmp_path: Path) -> None:
    """With the rows that the driver knows; a connection from before set-up is seen too."""
    script = """
execute("CREATE TABLE t (a int)")
execute("INSERT INTO t VALUES (%s)", [(1,), (2,), (3,)], many=True)
execute("UPDATE t SET a = 7")
execute("/* nightly */ SELECT a FROM t", alias="default")
execute("SELECT 1", alias="warehouse")
try:
    execute("SELECT nothing")
except DatabaseError:
    pass
print(json.dumps(points("database.query.duration", "database.rows")))
"""
    assert run(script, tmp_path) == {
        "database.query.duration": [
            ["default", "CREATE", "success", 1],
            ["default", "INSERT", "success", 1],
            ["default", "SELECT", "error", 1],
            ["default", "SELECT", "success", 1],
            ["default", "UPDATE", "success", 1],
            ["warehouse", "SELECT", "success", 1],
        ],
        "database.rows": [["default", "INSERT", 3], ["default", "UPDATE", 3]],
    }


BRIEF = """
import json, sys
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[],
)
import django
django.setup()
from django.db import DatabaseError, connection
from opentelemetry import baggage, context
from etl_telemetry import setup_telemetry, span
from etl_telemetry.testing import capture

setup_telemetry(service_name="shop", **json.loads(sys.argv[1]))
with capture() as telemetry:
    context.attach(baggage.set_baggage("tenant", "acme"))
    with span("load") as parent, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (mail text)")
        cursor.executemany("INSERT INTO t VALUES (%s)", [("a",), ("b",)])
        for _ in range(2):
            cursor.execute("SELECT mail FROM t WHERE mail = 'ada@example.com' -- for Ann")
        try:
            cursor.execute("SELECT nothing")
        except DatabaseError:
            pass
    def told(one):
        return [
            one.name, one.kind, one.status, sorted(one.attributes.items()),
            [event.name for event in one.events], one.scope, one.trace_id, one.parent_id,
            one.ended_at >= one.started_at, len({found.span_id for found in telemetry.spans}),
        ]
    found = [told(one) for one in telemetry.spans if one.name != "load"]
    root = telemetry.spans.named("load")
    for one in found:
        one[6:8] = [one[6] == root.trace_id, one[7] == root.span_id]
    print(json.dumps(found))
"""


@pytest.mark.parametrize("way", ["brief", "limits", "baggage"])
def test_spans_of_queries_are_the_same_whichever_way_they_are_made(
    tmp_path: Path, way: str
) -> None:
    """The brief way skips the SDK's tracer, where nobody has set what only that one heeds."""
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", BRIEF),
            json.dumps({"baggage_keys": ["tenant"]} if way == "baggage" else {}),
        ],
        env={
            **os.environ,
            **({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "32"} if way == "limits" else {}),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    def span(word: str, text: str, *events: str, more: Any = ()) -> list[object]:
        attributes = {
            "db.operation.name": word,
            "db.query.text": text[:32].rstrip() if way == "limits" else text,
            "db.system.name": "sqlite",
            **({"tenant": "acme"} if way == "baggage" else {}),
            **dict(more),
        }
        status = "error" if events else "unset"
        told = [[name, value] for name, value in sorted(attributes.items())]
        return [word, "client", status, told, list(events), "etl_telemetry", True, True, True, 6]

    error = {"error.type": "django.db.utils.OperationalError"}
    select = span("SELECT", "SELECT mail FROM t WHERE mail = ?")
    assert json.loads(done.stdout) == [
        span("CREATE", "CREATE TABLE t (mail text)"),
        span("INSERT", "INSERT INTO t VALUES (%s)", more={"db.operation.batch.size": 2}),
        select,
        select,
        span("SELECT", "SELECT nothing", "exception", more=error),
    ]


def test_connecting_is_measured(tmp_path: Path) -> None:
    """Also where it fails, and again after a close."""
    script = """
for _ in range(2):
    execute("SELECT 1")
    connection.close()
try:
    execute("SELECT 1", alias="broken")
except DatabaseError:
    pass
print(json.dumps(points("database.connect.duration", "database.query.duration")))
"""
    assert run(script, tmp_path) == {
        "database.connect.duration": [["broken", "error", 1], ["default", "success", 2]],
        "database.query.duration": [["default", "SELECT", "success", 2]],
    }


def test_transactions_are_counted_as_they_end(tmp_path: Path) -> None:
    """Committed, rolled back; a savepoint is no transaction, nor is a read without one."""
    script = """
execute("CREATE TABLE t (a int)")
with transaction.atomic():
    execute("INSERT INTO t VALUES (1)")
    try:
        with transaction.atomic():
            raise KeyError
    except KeyError:
        pass
try:
    with transaction.atomic():
        raise KeyError
except KeyError:
    pass
execute("SELECT 1")
print(json.dumps(points("database.transactions")))
"""
    assert run(script, tmp_path) == {
        "database.transactions": [["default", "committed", 1], ["default", "rolled_back", 1]]
    }


def test_connections_are_told_by_what_they_do(tmp_path: Path) -> None:
    """Idle, in a transaction, in use; each thread has its own; 0 after the last close."""
    script = """
import threading
found = []
def look():
    found.append(points("database.client.connections")["database.client.connections"])

look()
execute("SELECT 1")
look()
with transaction.atomic():
    look()
connection.ensure_connection()
connection.connection.create_function("look", 0, look)
execute("SELECT look()")

def work():
    execute("SELECT 1")
    look()
    connection.close()
    look()
thread = threading.Thread(target=work)
thread.start()
thread.join()
connection.close()
look()
print(json.dumps(found))
"""
    warehouse = [
        ["warehouse", "idle", 1], ["warehouse", "in_transaction", 0], ["warehouse", "in_use", 0],
    ]  # fmt: skip

    def default(idle: int, in_transaction: int, in_use: int) -> list[Any]:
        return [
            ["default", "idle", idle],
            ["default", "in_transaction", in_transaction],
            ["default", "in_use", in_use],
            *warehouse,
        ]

    assert run(script, tmp_path) == [
        warehouse,
        default(1, 0, 0),
        default(0, 1, 0),
        default(0, 0, 1),
        default(2, 0, 0),
        default(1, 0, 0),
        default(0, 0, 0),
    ]


def test_statements_in_a_trace_are_spans_without_values(tmp_path: Path) -> None:
    """No instrumentor makes them for SQLite; outside of a trace they would be of no use."""
    script = """
execute("CREATE TABLE t (a text)")
with tracer.start_as_current_span("load"):
    execute("INSERT INTO t VALUES (%s)", [("ada",), ("bob",)], many=True)
    execute("SELECT a FROM t WHERE a = 'ada'")
    try:
        execute("SELECT nothing")
    except DatabaseError:
        pass
print(json.dumps([
    [span.name, span.kind.name, span.status.status_code.name, dict(span.attributes)]
    for span in seen.spans()
]))
"""
    sqlite = {"db.system.name": "sqlite"}
    assert run(script, tmp_path) == [
        ["INSERT", "CLIENT", "UNSET", {
            **sqlite, "db.operation.name": "INSERT", "db.operation.batch.size": 2,
            "db.query.text": "INSERT INTO t VALUES (%s)",
        }],
        ["SELECT", "CLIENT", "UNSET", {
            **sqlite, "db.operation.name": "SELECT",
            "db.query.text": "SELECT a FROM t WHERE a = ?",
        }],
        ["SELECT", "CLIENT", "ERROR", {
            **sqlite, "db.operation.name": "SELECT", "db.query.text": "SELECT nothing",
            "error.type": "django.db.utils.OperationalError",
        }],
        ["load", "INTERNAL", "UNSET", {}],
    ]  # fmt: skip


def test_a_block_of_the_applications_own_wrapper_ends_as_it_began(tmp_path: Path) -> None:
    """Django takes the last wrapper away at its end: ours, if it came inside of it, must not be."""
    script = """
def refuse(execute, sql, params, many, context):
    raise AssertionError("no queries here")

with connection.execute_wrapper(refuse):
    connection.ensure_connection()
    refused = 0
    try:
        execute("SELECT 1")
    except AssertionError:
        refused = 1
execute("SELECT 1")
print(json.dumps([refused, points("database.query.duration")]))
"""
    assert run(script, tmp_path) == [
        1,
        {
            "database.query.duration": [
                ["default", "SELECT", "error", 1],
                ["default", "SELECT", "success", 1],
            ]
        },
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_tells_its_own_connections_only(tmp_path: Path) -> None:
    """Django closes what it inherited; each query is counted once."""
    script = """
execute("SELECT 1")
read, write = os.pipe()
if os.fork() == 0:
    found = [points("database.client.connections")]
    connections.close_all()
    execute("SELECT 1")
    found.append(points("database.client.connections", "database.query.duration"))
    os.write(write, json.dumps(found).encode())
    os._exit(0)
os.wait()
print(os.read(read, 10_000).decode())
"""
    mine = [["default", "idle", 1], ["default", "in_transaction", 0], ["default", "in_use", 0]]
    first, second = run(script, tmp_path)
    assert first == {"database.client.connections": []}
    assert second["database.client.connections"] == mine
    assert second["database.query.duration"] == [["default", "SELECT", "success", 1]]


def test_uninstrument_leaves_connections_alone(tmp_path: Path) -> None:
    """Those that are open lose our wrapper; nothing is told any more."""
    script = """
execute("SELECT 1")
points()
table.uninstrument()
execute("SELECT 1")
print(json.dumps([
    connection.execute_wrappers, points("database.query.duration", "database.client.connections")
]))
"""
    assert run(script, tmp_path) == [
        [],
        {"database.query.duration": [], "database.client.connections": []},
    ]
