"""Runs that are chains in a real worker, some of which are revoked, terminated, killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.broker import broker, broker_server
from support.celery_worker import Received, received, worker
from support.host import Host
from support.ledger import table

__all__ = ["broker", "broker_server", "received"]

FATES = {"well": 70, "revoked": 10, "terminated": 10, "killed": 10}
DELIVERIES = {
    # Of those that end well all three; of those that are terminated or killed the first one.
    ("success",): 3 * 70 + 10 + 10,
    # Of ten the first, which never begins, of ten the second one.
    ("revoked",): 20,
    ("lost",): 10,
}
OVERDUE = """
from django.utils import timezone
from work.models import Execution
Execution.objects.filter(state="RUNNING").update(due=timezone.now())
"""


@pytest.fixture
def host(tmp_path: Path, broker: str, received: Received) -> Host:
    """Give a host with tables, whose processes export to the receiver."""
    made = Host(
        tmp_path,
        variables={
            "BROKER": broker,
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            "ETL_TELEMETRY_DEADLINE": "30",
        },
    )
    made.migrate(OTEL_SDK_DISABLED="true")
    return made


def test_runs_are_counted_as_the_table_says_and_none_stays_active(
    host: Host, broker: str, received: Received
) -> None:
    """100 chains; what nobody has ended is ended by the observer once its deadline is over."""
    query = received.query
    with worker(
        broker, received, "--pool=prefork", "-c4", app="chains", variables=host.environment()
    ) as running:
        host.script(f"import chains; chains.publish({FATES})")
        running.wait_for(
            lambda: len(query.spans(name="run/chains.load")) == FATES["well"], "the last load"
        )
        running.wait_for(
            lambda: len(query.spans(name="run/chains.transform")) == 90, "the lost ones"
        )
    counted = query.sum_latest("task.executions", by=("status",))
    assert {key: n for key, n in counted.items() if n} == DELIVERIES
    host.script(OVERDUE, OTEL_SDK_DISABLED="true")
    done = host.run("manage.py", "telemetry_observer", "--once")
    assert done.returncode == 0, done.stderr
    assert query.sum_latest("active_pipeline_runs") == {(): 0}
    runs = {"success": 70, "cancelled": 20, "lost": 10}
    assert table(host) == (runs, 0)
    counted = query.sum_latest("pipeline.executions", by=("status",))
    assert {key[0]: n for key, n in counted.items() if n} == runs
    # Who published acts in each task; who ends what nobody ended is not known.
    told = host.script("import acts; acts.audited()", OTEL_SDK_DISABLED="true")
    assert json.loads(told) == [
        ["pipeline_execution_finished", "unknown", "acme", 100],
        ["pipeline_execution_started", "7", "acme", 100],
        ["run_loaded", "7", "acme", 70],
    ]
