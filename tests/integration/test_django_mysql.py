"""Django on a real MariaDB server, where there is one (`apt install mariadb-server`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.broker import free_port
from support.django_project import PATIENCE, listens

TESTS = Path(__file__).parent.parent
SERVER = shutil.which("mariadbd") or ""
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
from etl_telemetry.config import Config
from etl_telemetry.django.database import server
from etl_telemetry.instrumentation import table

with pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="root") as raw:
    raw.cursor().execute("CREATE DATABASE IF NOT EXISTS shop")
seen = telemetry()
table.instrument(Config(instrumentations=("django",)))
with trace.get_tracer("test").start_as_current_span("load"), connection.cursor() as cursor:
    cursor.execute('SELECT `Host` FROM information_schema.processlist WHERE user = "{SECRET}"')
    found = [[metric.name, value, labels] for metric, value, labels in server.read()]
(span, *_) = seen.spans()
print(json.dumps([found, span.name, dict(span.attributes)]))
"""  # noqa: S608 - the script of a child process


@pytest.fixture
def port() -> Iterator[int]:
    """Run a server that asks for no password; give its port."""
    number = free_port()
    with tempfile.TemporaryDirectory(prefix="etl-mariadb-") as folder:
        log = Path(folder) / "log"
        data = Path(folder) / "data"
        data.mkdir()
        options = (
            "--no-defaults", f"--datadir={data}", "--skip-grant-tables", "--user=root",
            f"--socket={folder}/socket", f"--port={number}", "--bind-address=127.0.0.1",
            f"--pid-file={folder}/pid",
        )  # fmt: skip
        with log.open("w") as output:
            process = subprocess.Popen([SERVER, *options], stdout=output, stderr=output)
        try:
            end = time.monotonic() + PATIENCE
            while not listens(number):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield number
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.mark.skipif(not SERVER, reason="no mariadbd on the PATH")
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
    found, name, attributes = json.loads(done.stdout)
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
