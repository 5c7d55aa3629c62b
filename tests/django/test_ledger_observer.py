"""The observer drains the ledger too: no process of its own is needed, and two are one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_telemetry.viewer.query import Query
from support.host import PATIENCE, Host
from support.ledger import END_THREE, counted, durations, made, process, roots, said, table
from support.process import receiving

OBSERVER = ("manage.py", "telemetry_observer", "--interval", "0.5")
LEDGER = ("manage.py", "telemetry_ledger", "--interval", "0.5")
PASSED = "import acts; acts.take_over()"
"""What a lease does by itself that nobody prolongs, only later."""


def wait(host: Host, running: subprocess.Popen[bytes], good: Callable[[], object]) -> None:
    """Wait until a process has done something; fail with what was said where it ends."""
    end = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < end, said(host)
        assert running.poll() is None, said(host)
        time.sleep(0.1)


def writers(query: Query) -> set[tuple[str, ...]]:
    """Return who wrote the totals of runs: the instance, and what tells of one process."""
    return {
        tuple(
            str(value)
            for key, value in sorted(series.resource.items())
            if key == "service.instance.id" or key.startswith(("process.", "host."))
        )
        for metric in ("pipeline.executions", "pipeline.execution.duration")
        for series in query.series(metric)
    }


def ends_in_the_audit_trail(query: Query) -> int:
    """Return how many ends of runs have arrived as audit events."""
    return len(
        {
            log.attributes["audit.resource.id"]
            for log in query.logs(limit=None)
            if log.body == "pipeline_execution_finished"
        }
    )


@pytest.mark.timeout(900)
def test_observers_and_a_ledger_count_each_run_once(tmp_path: Path) -> None:
    """One drains, the other waits; killed or stopped, the next goes on with the same series."""
    host = made(tmp_path, {"default": "host.sqlite3"})
    with receiving() as (receiver, query):
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        host.script(END_THREE, OTEL_SDK_DISABLED="true")
        with process(host, *OBSERVER, **exporting) as first:
            wait(host, first, lambda: sum(counted(query).values()) == 3)
            with process(host, *LEDGER, **exporting) as second:
                host.script(END_THREE, OTEL_SDK_DISABLED="true")
                wait(host, first, lambda: sum(counted(query).values()) == 6)
                first.kill()
                first.wait(PATIENCE)
                host.script(f"{END_THREE}\n{PASSED}", OTEL_SDK_DISABLED="true")
                wait(host, second, lambda: sum(counted(query).values()) == 9)
                with process(host, *OBSERVER, **exporting) as third:
                    second.terminate()
                    assert second.wait(PATIENCE) == 0, said(host)
                    # Given up, not run out: at once.
                    host.script(END_THREE, OTEL_SDK_DISABLED="true")
                    wait(host, third, lambda: sum(counted(query).values()) == 12)
                    # The one that was killed may have held the audit trail: that lease runs out.
                    wait(host, third, lambda: ends_in_the_audit_trail(query) == 12)
                    host.script(END_THREE, OTEL_SDK_DISABLED="true")
                    third.terminate()
                    assert third.wait(PATIENCE) == 0, said(host)
        # What ended last is not left behind, and nobody holds the ledger any more.
        assert table(host) == (counted(query), 0) == ({"success": 5, "failed": 10}, 0)
        assert durations(query) == {"success": (5, 10.0), "failed": (10, 20.0)}
        assert len(roots(query)) == 15
        # Those that its last round has made among them.
        assert ends_in_the_audit_trail(query) == 15
        assert writers(query) == {("ledger",)}
        for series in query.series("pipeline.executions"):
            values = [int(point.value) for point in series.points]
            assert values == sorted(values)
        done = host.run("manage.py", "telemetry_ledger", "--once", **exporting)
        assert done.stdout == "counted 0 runs\n", done.stderr
