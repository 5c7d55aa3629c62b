"""Django on a real MariaDB server, where there is one (`apt install mariadb-server`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.mariadb import mariadb

__all__ = ["mariadb"]
TESTS = Path(__file__).parent.parent
SECRET = "ada@example.com"
SETUP = f"""
import json, sys
import pymysql
pymysql.install_as_MySQLdb()
from django.conf import settings
place = {{"HOST": "127.0.0.1", "PORT": sys.argv[1], "USER": "root"}}
database = {{"ENGINE": "django.db.backends.mysql", "NAME": "shop", **place}}
settings.configure(DATABASES={{"default": database, "again": database}}, INSTALLED_APPS=[])
import django
django.setup()
from django.db import connection
from opentelemetry import trace
from support.telemetry import telemetry
from etl_telemetry import queries
from etl_telemetry.config import Config
from etl_telemetry.django.database import server
from etl_telemetry.instrumentation import table

seen = telemetry()
table.instrument(Config(instrumentations=("django",)))
def load(cursor):
    cursor.execute('SELECT `Host` FROM information_schema.processlist WHERE user = "{SECRET}"')

with trace.get_tracer("test").start_as_current_span("load"), connection.cursor() as cursor:
    with queries.Tally() as tally:
        load(cursor)
        load(cursor)
    found = [[metric.name, value, labels] for metric, value, labels in server.read()]
(span, *_) = seen.spans()
print(json.dumps([found, span.name, dict(span.attributes), tally.repeated()]))
"""  # noqa: S608 - the script of a child process


@pytest.fixture
def port(mariadb: str) -> int:
    """Give the port of a server that asks for no password."""
    return urlsplit(mariadb).port or 0


def test_the_server_tells_its_connections_and_statements_have_no_values(port: int) -> None:
    """Once for two aliases; a string in double quotes is a value there, and stays here."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETUP, str(port)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any]
    found, name, attributes, repeated = json.loads(done.stdout)
    by_state = {labels["state"]: value for _, value, labels in found[:2]}
    assert set(by_state) == {"active", "idle"}
    assert sum(by_state.values()) >= 1
    assert found[2:] == [
        ["database.server.connections.limit", 151, {"database.alias": "default"}],
        ["database.connections.active", sum(by_state.values()), {"database.type": "mysql"}],
    ]
    assert (name, attributes) == (
        "SELECT",
        {
            "db.system.name": "mysql",
            "db.namespace": "shop",
            "server.address": "127.0.0.1",
            "server.port": port,
            "db.operation.name": "SELECT",
            "db.query.text": "SELECT `Host` FROM information_schema.processlist WHERE user = ?",
        },
    )
    assert repeated == [attributes["db.query.text"], 2]
