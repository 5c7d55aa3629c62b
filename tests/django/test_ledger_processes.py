"""The ledger over real processes that are killed, requests that fail, and several databases."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.host import HOST, PATIENCE, Host
from support.ledger import (
    END_THREE,
    counted,
    durations,
    fresh,
    made,
    process,
    roots,
    said,
    table,
    told,
)
from support.postgresql import postgresql
from support.process import receiving

__all__ = ["postgresql"]

ONCE = (
    "from django.core.management import call_command\ncall_command('telemetry_ledger', once=True)"
)
"""A round of the command."""
POINTS = {
    "before it counts": "count._add = acts.die",
    "counted, not committed": "count._add = acts.then_die(count._add)",
    "committed, nothing told": "drain.snapshot = acts.die",
    "told, not exported": "setup.Telemetry.force_flush = acts.die",
    "exported, not marked": (
        "setup.Telemetry.force_flush = acts.then_die(setup.Telemetry.force_flush)"
    ),
    "marked, not announced": "drain.Drainer._announced = acts.die",
    "announced": "drain.Drainer._announced = acts.then_die(drain.Drainer._announced)",
}
PATCHED = """
import acts
from etl_telemetry import setup
from etl_telemetry.django.ledger import count, drain
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """Give a host with tables, on each database, whose processes export to a receiver."""
    databases = {"default": "host.sqlite3"}
    if request.param == "postgresql":
        databases = {"default": fresh(request.getfixturevalue("postgresql"), tmp_path)}
    return made(tmp_path, databases)


@pytest.mark.timeout(900)
def test_counts_equal_the_table_wherever_the_drainer_is_killed(host: Host) -> None:
    """Killed with -9 at any point; counters, durations and root spans are those of the table."""
    with receiving() as (receiver, query):
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        host.script(END_THREE, OTEL_SDK_DISABLED="true")
        for number, (point, patch) in enumerate(POINTS.items(), 1):
            script = f"import django; django.setup()\n{PATCHED}{patch}\n{ONCE}"
            killed = host.run("-c", script, **exporting)
            assert killed.returncode == -signal.SIGKILL, (point, killed.stderr)
            # The next three wait for the next point.
            host.script(f"import acts; acts.take_over()\n{ONCE}\n{END_THREE}", **exporting)
            ended = {"success": number, "failed": 2 * number}
            assert table(host) == ({"success": number + 1, "failed": 2 * number + 2}, 3), point
            assert counted(query) == ended, point
            assert durations(query) == {
                status: (runs, pytest.approx(2.0 * runs)) for status, runs in ended.items()
            }, point
            assert len(roots(query)) == 3 * number, point
            assert len(set(told(query))) == 3 * number, point
        # Only where nobody can know whether it arrived a span is sent twice, with the same ids.
        assert sorted(set(roots(query).values())) == [1, 2]
        assert sum(roots(query).values()) == 3 * len(POINTS) + 3
        # So is the record of its end: its id is that of the run, and it is one document.
        assert len(told(query)) > len(set(told(query)))


def test_series_begins_with_a_zero_in_whichever_process_exports_it_first(tmp_path: Path) -> None:
    """`increase()` sees the first run, also where the process that counted it was killed."""
    host = made(tmp_path, {"default": "host.sqlite3"})
    with receiving() as (receiver, query):
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        host.script(END_THREE, OTEL_SDK_DISABLED="true")
        script = f"import django; django.setup()\n{PATCHED}drain.snapshot = acts.die\n{ONCE}"
        assert host.run("-c", script, **exporting).returncode == -signal.SIGKILL
        for _ in range(2):
            host.script(f"import acts; acts.take_over()\n{ONCE}", **exporting)
        values = {
            str(series.attributes["status"]): [int(point.value) for point in series.points]
            for series in query.series("pipeline.executions")
        }
        assert values["failed"][:2] == [0, 2]
        assert values["success"][:2] == [0, 1]
        assert values["failed"].count(0) == values["success"].count(0) == 1


@pytest.mark.timeout(900)
def test_many_workers_and_a_drainer_that_is_killed_again_and_again(host: Host) -> None:
    """Runs end in every way, some roll back; at the end everything equals the table."""
    with receiving() as (receiver, query):
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        drain = ("manage.py", "telemetry_ledger", "--interval", "0.05", "--lease", "3")
        host.script(ONCE, **exporting)
        script = "import django; django.setup()\nimport acts, sys; acts.work(int(sys.argv[1]), 15)"
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(seed)],
                cwd=HOST, env=host.environment(OTEL_SDK_DISABLED="true"),
            )
            for seed in range(3)
        ]  # fmt: skip
        kills = 0
        while kills < 3 or any(worker.poll() is None for worker in workers):
            with process(host, *drain, **exporting) as running, _patience(running, 6):
                kills += 1
        assert [worker.wait(PATIENCE) for worker in workers] == [0, 0, 0]
        with process(host, *drain, **exporting) as running:
            end = time.monotonic() + PATIENCE
            # Bulk updates are found by the first look of each process.
            while table(host) != (counted(query), 0):
                time.sleep(0.1)
                assert time.monotonic() < end, (table(host), counted(query), said(host))
                assert running.poll() is None, said(host)
            # All may have been told by the one before: then this one has hardly begun.
            while not _listens(running.pid):
                assert time.monotonic() < end, said(host)
                time.sleep(0.05)
            running.terminate()
            assert running.wait(PATIENCE) == 0, said(host)
        ended, waiting = table(host)
        assert (counted(query), waiting) == (ended, 0)
        assert {status: count for status, (count, _) in durations(query).items()} == ended
        assert len(roots(query)) == sum(ended.values())


@contextmanager
def _patience(running: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Let a process run for a while, unless it ends by itself."""
    yield
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _listens(pid: int) -> bool:
    """Tell whether a process has a handler for SIGTERM; without one, the signal just ends it."""
    told = Path(f"/proc/{pid}/status").read_text()
    (caught,) = (line.split()[1] for line in told.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_stopped_drainer_reports_what_ended_last(tmp_path: Path) -> None:
    """Told to stop, it looks once more: what the others ended at their end is not left behind."""
    host = made(tmp_path, {"default": "host.sqlite3"})
    with receiving() as (receiver, query):
        host.script(END_THREE, OTEL_SDK_DISABLED="true")
        drain = ("manage.py", "telemetry_ledger", "--interval", "3600")
        with process(host, *drain, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.address) as running:
            end = time.monotonic() + PATIENCE
            while sum(counted(query).values()) < 3:
                assert time.monotonic() < end, said(host)
                assert running.poll() is None, said(host)
                time.sleep(0.1)
            host.script(END_THREE, OTEL_SDK_DISABLED="true")
            running.terminate()
            assert running.wait(PATIENCE) == 0, said(host)
        assert (counted(query), table(host)[1]) == ({"success": 2, "failed": 4}, 0)
        assert query.series("pipeline.last_success.timestamp") == []  # The observer tells it.


def test_request_that_fails_leaves_nothing(host: Host) -> None:
    """`ATOMIC_REQUESTS`: state and entry roll back together with all that the view did."""
    script = """
import acts
from django.test import Client
from etl_telemetry.django.ledger.models import RunEnd
from work.models import Execution
client = Client(raise_request_exception=False)
run = acts.start()
print(client.get(f"/finish/{run.pk}/?fail").status_code, Execution.objects.get().state,
      RunEnd.objects.count())
print(client.get(f"/finish/{run.pk}/").content.decode(), Execution.objects.get().state,
      RunEnd.objects.count())
print(client.get(f"/finish/{run.pk}/").content.decode())
"""
    assert host.script(script, OTEL_SDK_DISABLED="true").splitlines() == [
        "500 RUNNING 0", "True DONE 1", "False",
    ]  # fmt: skip


def test_several_databases_are_one_series(tmp_path: Path, postgresql: str) -> None:
    """Each has its own outbox, in the transaction of its runs; what is exported is their sum."""
    databases = {"default": "host.sqlite3", "second": fresh(postgresql, tmp_path)}
    host = made(tmp_path, databases)
    both = END_THREE + "acts.end(acts.start('second'), 'success', 'second')\n"
    with receiving() as (receiver, query):
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        for number in (1, 2):
            host.script(both + ONCE, **exporting)
            assert table(host) == ({"success": number, "failed": 2 * number}, 0)
            assert table(host, "second") == ({"success": number}, 0)
            assert counted(query) == {"success": 2 * number, "failed": 2 * number}
        assert len(roots(query)) == 8


OLD = """
import acts, logging
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from work.models import Execution
User.objects.create_user("ann", password="x")
class Told(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("ledger"):
            print(record.getMessage(), record.database)
logging.getLogger("etl_telemetry.django").addHandler(Told())
client = Client()
print(client.get("/login/").content.decode())
for _ in range(2):
    run = acts.start()
    print(client.get(f"/finish/{run.pk}/").content.decode())
saved = acts.start()
saved.state = "DONE"
saved.ended = saved.begun
saved.save()
print(Execution.objects.filter(state="DONE").count(), "tables:", sorted(
    name for name in connection.introspection.table_names() if name.startswith("etl_telemetry")))
"""


def test_new_code_on_the_old_schema_breaks_nothing(host: Host) -> None:
    """Before `migrate` ran, requests end runs and people log in; what lacks is said once."""
    done = host.run("manage.py", "migrate", "etl_telemetry", "zero", "--verbosity", "0")
    assert done.returncode == 0, done.stderr
    assert host.script(OLD, OTEL_SDK_DISABLED="true").splitlines() == [
        "welcome", "ledger_not_ready default", "True", "True", "3 tables: []",
    ]  # fmt: skip


def test_runs_that_end_while_a_column_lacks_are_found_afterwards(host: Host) -> None:
    """The next version of the tables: nothing is lost in between."""
    with receiving() as (receiver, query):
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        host.script(ONCE, **exporting)
        rename = "from django.db import connection\nconnection.cursor().execute({!r})\n"
        table_of = "ALTER TABLE etl_telemetry_runend RENAME COLUMN {} TO {}"
        host.script(rename.format(table_of.format("links", "old")), OTEL_SDK_DISABLED="true")
        host.script(END_THREE, OTEL_SDK_DISABLED="true")
        assert table(host)[0] == {"success": 1, "failed": 2}
        host.script(rename.format(table_of.format("old", "links")), OTEL_SDK_DISABLED="true")
        host.script(ONCE, **exporting)
        assert table(host) == (counted(query), 0) == ({"success": 1, "failed": 2}, 0)


def test_command_needs_telemetry(tmp_path: Path) -> None:
    """Else nobody would hear of what it counts."""
    done = Host(tmp_path).run("manage.py", "telemetry_ledger", "--once", OTEL_SDK_DISABLED="true")
    assert (done.returncode, done.stderr) == (
        1, "CommandError: Telemetry is switched off: what ended stays in the outbox.\n",
    )  # fmt: skip


def test_migrations_are_complete(tmp_path: Path) -> None:
    """No model of ours has changed without its migration, whatever the project's own key type."""
    done = Host(tmp_path).run("manage.py", "makemigrations", "--check", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "No changes detected\n"), done.stderr
