"""Processes of the host that drain its ledger, what they said, and what its table says."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from etl_telemetry.viewer.query import Query
from support.host import HOST, PATIENCE, Host

END_THREE = """
import acts
for status in ("success", "failed", "failed"):
    acts.end(acts.start(), status)
"""
Counts = dict[str, int]
WORDS = {
    "DONE": "success", "ERROR": "failed", "TIMEOUT": "failed", "STOPPED": "cancelled",
    "VANISHED": "lost",
}  # fmt: skip
"""How runs end: the host's word, and ours."""


def fresh(url: str, folder: Path) -> str:
    """Make a database of its own on a server; return its URL."""
    import psycopg2

    name = f"host_{os.getpid()}_{time.monotonic_ns()}"
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    path, _, query = url.partition("?")
    return f"{path.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def made(folder: Path, databases: dict[str, str]) -> Host:
    """Return a host whose tables are there."""
    found = Host(folder, databases, {"ETL_TELEMETRY_DEADLINE": "30"})
    found.migrate(OTEL_SDK_DISABLED="true")
    return found


def table(host: Host, using: str = "default") -> tuple[Counts, int]:
    """Return what the host's table says: ended runs by status, and how many wait in the outbox."""
    ended: Counts = {}
    for state, number in rows(host, using, "SELECT state, COUNT(*) FROM work_execution GROUP BY 1"):
        if state in WORDS:
            ended[WORDS[state]] = ended.get(WORDS[state], 0) + number
    ((waiting,),) = rows(host, using, "SELECT COUNT(*) FROM etl_telemetry_runend WHERE stage < 2")
    return ended, waiting


def rows(host: Host, using: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask one of the host's databases, past Django: to look needs no process."""
    place = host.databases[using]
    if "//" not in place:
        with closing(sqlite3.connect(host.folder / place, timeout=PATIENCE)) as connection:
            return connection.execute(statement).fetchall()
    import psycopg2

    with closing(psycopg2.connect(place)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def counted(query: Query) -> Counts:
    """Return what a receiver knows that adds up what a series had before each of its restarts."""
    found = query.sum_latest("pipeline.executions", by=("status",))
    return {str(key[0]): int(value) for key, value in found.items() if value}


def durations(query: Query) -> dict[str, tuple[int, float]]:
    """Return count and sum of the histogram, by status."""
    found = query.sum_latest("pipeline.execution.duration", by=("status",))
    return {str(key[0]): (value.count, value.sum) for key, value in found.items() if value.count}


def roots(query: Query) -> dict[str, int]:
    """Return how often the root span of each run arrived."""
    spans = query.spans(name="pipeline run daily", limit=None)
    return {str(span.attributes["pipeline.run.id"]): span.received for span in spans}


def told(query: Query) -> list[str]:
    """Return the ids of the records that say that a run ended."""
    return [
        str(log.attributes["log.record.uid"])
        for log in query.logs(limit=None)
        if log.body == "pipeline_run_finished"
    ]


@contextmanager
def process(host: Host, *words: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process while the block runs; kill it afterwards."""
    log = (host.folder / "process.log").open("ab")
    running = subprocess.Popen(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", *words],
        cwd=HOST, env=host.environment(**variables), stdout=log, stderr=log,
    )  # fmt: skip
    log.close()
    try:
        yield running
    finally:
        running.kill()
        running.wait(PATIENCE)


def said(host: Host) -> str:
    """Return what these processes wrote to their terminals."""
    return (host.folder / "process.log").read_text()
