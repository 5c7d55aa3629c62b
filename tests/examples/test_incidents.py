"""What goes wrong on purpose, with a real broker and a real prefork worker."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from etl_telemetry.viewer.query import Query
from support.broker import broker, broker_server
from support.process import receiving

__all__ = ["broker", "broker_server"]

PATIENCE = 120.0
"""Seconds until a wait fails: a guard against hangs, no measure of speed."""


class Running:
    """A platform with a worker and a reporter, and what arrived from it."""

    def __init__(self, platform: Any, query: Query) -> None:
        self.platform = platform
        self.query = query

    def ledger(self) -> dict[str, Any]:
        """Return the ledger, with one entry per run."""
        return json.loads(self.platform.manage("ledger", "--json", "--runs"))

    def settled(self) -> dict[str, Any]:
        """Wait until nothing is under way, and return the ledger."""
        return self.wait(self.ledger, lambda ledger: not any(ledger["unfinished"].values()))

    def wait(self, look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """Look until it is good, and return what was seen; fail with the processes' logs."""
        end = time.monotonic() + PATIENCE
        while not good(seen := look()):
            if time.monotonic() > end:
                logs = "".join(path.read_text() for path in self.platform.data.glob("*.out"))
                pytest.fail(f"never came, last seen: {seen}\n{logs}")
            time.sleep(0.2)
        return seen


@pytest.fixture
def running(seeded: Any, broker: str) -> Iterator[Running]:
    """Run a worker with two processes, and the reporter."""
    with receiving() as (receiver, query), ExitStack() as processes:
        seeded.variables |= {
            "CELERY_BROKER_URL": broker,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        worker = (sys.executable, "-m", "celery", "-A", "etl_platform", "worker")
        options = (
            "--pool",
            "prefork",
            "--concurrency",
            "2",
            "--without-gossip",
            "--without-mingle",
        )
        processes.enter_context(seeded.running(*worker, *options))
        processes.enter_context(seeded.running(*seeded.command("report_runs", "--interval", "0.2")))
        yield Running(seeded, query)


def test_killed_and_revoked_tasks_leave_a_true_ledger(running: Running) -> None:
    """A killed task is done again, a revoked one ends its run, and each run is counted once."""
    said = running.platform.manage("incident", "kill_worker")
    assert "The message is delivered again; the first delivery is lost." in said
    assert "terminated" in running.platform.manage("incident", "revoke")
    running.platform.manage("run_pipeline", "fleet-aa", "flights-oo-ewr", "--wait")

    ledger = running.settled()
    assert ledger["runs"] == {
        "flights-yv-lga": {"cancelled": 1, "success": 1},
        "fleet-aa": {"failed": 1},
        "flights-oo-ewr": {"success": 1},
    }
    assert ledger["tasks"]["flights-yv-lga"] == {"other": {"lost": 1, "revoked": 1, "success": 1}}
    assert ledger["tasks"]["fleet-aa"] == {"extract": {"failed": 1}, "other": {"success": 1}}
    by_status = {run["status"]: run for run in ledger["run_list"]}
    assert by_status["cancelled"]["error"] == "Cancelled by an operator."

    counted = {
        (name, status): number
        for name, statuses in ledger["runs"].items()
        for status, number in statuses.items()
    }
    running.wait(
        lambda: running.query.sum_latest("pipeline.executions", by=("pipeline.name", "status")),
        lambda arrived: arrived == counted,
    )
    for run in ledger["run_list"]:
        (root,) = (s for s in running.query.trace(run["trace_id"]) if s.parent_span_id is None)
        assert root.name == f"pipeline run {run['pipeline']}"
        assert root.attributes["pipeline.run.id"] == run["id"]
        assert root.attributes["pipeline.status"] == run["status"]


def test_slow_statement_shows_in_its_runs_trace(running: Running) -> None:
    """The connector operation of the slow statement is part of the run's trace, with its time."""
    running.platform.manage("incident", "slow_sql")
    (run,) = running.settled()["run_list"]
    trace = running.wait(
        lambda: running.query.trace(run["trace_id"]),
        lambda spans: any(span.name == "connector select" for span in spans),
    )
    (slow,) = (span for span in trace if span.name == "connector select")
    assert slow.end_ns - slow.start_ns >= 5e9
    assert slow.attributes["connector.type"] == "sql"


def test_incident_without_a_worker_says_what_is_missing(seeded: Any, broker: str) -> None:
    """Nobody takes the task: the command ends with the command line that helps."""
    seeded.variables["CELERY_BROKER_URL"] = broker
    script = (
        "import django; django.setup()\n"
        "from apps.pipelines import incidents\n"
        "incidents.PATIENCE = 1.0\n"
        "try: incidents.revoke()\n"
        "except incidents.IncidentError as error: print(error)"
    )
    done = seeded.run(
        sys.executable, "-c", script, DJANGO_SETTINGS_MODULE="etl_platform.settings",
        OTEL_SDK_DISABLED="true",
    )  # fmt: skip
    assert done.stdout.strip().endswith(
        "Is one running? celery -A etl_platform worker --pool prefork --concurrency 2"
    ), done.stderr
