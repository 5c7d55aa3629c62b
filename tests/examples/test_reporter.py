"""Runs are counted exactly once, wherever the process that reports them is killed."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from etl_telemetry.viewer.query import Query
from support.process import receiving

END_RUNS = """
import django; django.setup()
from apps.pipelines import services
from apps.pipelines.models import Pipeline, PipelineRun
oo, aa = Pipeline.objects.get(name="flights-oo-ewr"), Pipeline.objects.get(name="fleet-aa")
for pipeline, status in ((oo, "success"), (oo, "failed"), (aa, "failed")):
    run = PipelineRun.objects.create(pipeline=pipeline, trigger_type="manual")
    assert services.finish(run.pk, status, error="" if status == "success" else "Broken.")
"""
"""Three runs end: status and outbox row are committed, and nothing was reported yet."""

RESTARTED = """
import sys
sys.argv = ["manage.py", "report_runs", "--once"]
import django; django.setup()
from django.core import management
management.call_command("report_runs", "--once")
management.call_command("ledger", "--json")
"""
"""The next `report_runs`, and what the ledger says then."""

KILLED = (
    END_RUNS.replace(
        "import django",
        """
import os, signal, sys
point = sys.argv[1]
sys.argv = ["manage.py", "report_runs", "--once"]
import django""",
    )
    + """
from django.core import management
from apps.pipelines import reporter

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(function):
    return lambda *args, **kwargs: die(function(*args, **kwargs))

if point == "before it counts":
    reporter.finish_run = die
elif point == "after it counted, before it exports":
    reporter.finish_run = then_die(reporter.finish_run)
elif point == "after it exported, before it says so":
    flushed = reporter.Reporter.__init__
    def init(self, flush):
        flushed(self, then_die(flush))
    reporter.Reporter.__init__ = init
elif point == "after it said so":
    reporter.Reporter.report = then_die(reporter.Reporter.report)
management.call_command("report_runs", once=True)
"""
)
"""Three runs end, and `report_runs` kills itself with SIGKILL at one point."""

POINTS = (
    "before it counts",
    "after it counted, before it exports",
    "after it exported, before it says so",
    "after it said so",
)
Counts = dict[tuple[str, str], int]


def counted(query: Query) -> Counts:
    """Return what the reporter's counter said last, by pipeline and status."""
    latest: dict[tuple[str, str], tuple[int, int]] = {}
    writer = {"service.instance.id": "ledger-reporter"}
    for series in query.series("pipeline.executions", where=writer):
        key = (str(series.attributes["pipeline.name"]), str(series.attributes["status"]))
        for point in series.points:
            latest[key] = max(latest.get(key, (0, 0)), (point.time_ns, int(point.value)))
    return {key: value for key, (_, value) in latest.items()}


def in_table(ledger: str) -> Counts:
    """Return what the ledger's JSON says, by pipeline and status."""
    runs = json.loads(ledger)["runs"]
    return {(name, status): n for name, by in runs.items() for status, n in by.items()}


def script(platform: Any, code: str, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run code in the platform's environment; return its exit code and the last line it printed."""
    done = platform.run(
        sys.executable, "-c", code, *arguments, DJANGO_SETTINGS_MODULE="etl_platform.settings",
        **variables,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.rpartition("\n")[0].rpartition("\n")[2]


def test_count_equals_the_table_wherever_the_reporter_is_killed(seeded: Any) -> None:
    """Killed anywhere with -9 and restarted, the reporter's sums are those of the ledger."""
    with receiving() as (receiver, query):
        seeded.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.address
        for number, point in enumerate(POINTS, 1):
            assert script(seeded, KILLED, point)[0] == -signal.SIGKILL, point
            table = in_table(script(seeded, RESTARTED)[1])
            assert counted(query) == table, point
            # Also for a receiver that adds up what a series had before each of its restarts.
            by = ("pipeline.name", "status")
            assert query.sum_latest("pipeline.executions", by=by) == table, point
            durations = query.sum_latest("pipeline.execution.duration", by=by)
            assert {key: value.count for key, value in durations.items()} == table, point
            assert table == {
                ("fleet-aa", "failed"): number,
                ("flights-oo-ewr", "failed"): number,
                ("flights-oo-ewr", "success"): number,
            }
        roots = [span for span in query.spans(limit=None) if span.name.startswith("pipeline run ")]
        assert len(roots) == 3 * len(POINTS)
        # Only the one point at which nobody can know whether it arrived sends a run twice.
        assert sorted({span.received for span in roots}) == [1, 2]
        assert sum(span.received for span in roots) == len(roots) + 3
        failed = next(s for s in roots if s.attributes["pipeline.name"] == "fleet-aa")
        assert (failed.status, failed.status_message) == ("error", "Broken.")


def test_second_reporter_is_refused(seeded: Any) -> None:
    """Two reporters would write the same series: the second one says who is in its way."""
    seeded.variables["OTEL_SDK_DISABLED"] = "true"
    with seeded.running(*seeded.command("report_runs", "--interval", "0.1")) as first:
        log = seeded.data / "report_runs.lock"
        end = time.monotonic() + 60
        while not log.exists() and time.monotonic() < end:
            time.sleep(0.05)
        done = seeded.run(*seeded.command("report_runs", "--once"))
        assert done.returncode == 1
        assert done.stderr == (
            f"CommandError: Another report_runs is running (it holds {log}). Two of them would "
            "write the same series. Stop the other one first.\n"
        )
        assert first.poll() is None


def test_reporter_ends_on_sigterm_with_everything_reported(seeded: Any) -> None:
    """A stopped reporter has reported what was in the outbox."""
    with receiving() as (receiver, query):
        seeded.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.address
        with seeded.running(*seeded.command("report_runs", "--interval", "60")) as process:
            end = time.monotonic() + 60
            while "reporting" not in _output(seeded.data) and time.monotonic() < end:
                time.sleep(0.05)
            script(seeded, END_RUNS)
            process.terminate()
            assert process.wait(60) == 0
        ledger = seeded.manage("ledger", "--json")
        assert json.loads(ledger)["unfinished"] == {"runs": 0, "tasks": 0, "unreported_runs": 0}
        assert counted(query) == in_table(ledger)


def _output(data: Path) -> str:
    return "".join(path.read_text() for path in data.glob("*.out"))


def test_reporter_without_a_collector_keeps_the_runs(seeded: Any) -> None:
    """What could not be delivered stays in the outbox, for the next time."""
    script(seeded, END_RUNS)
    seeded.manage("report_runs", "--once", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    left = json.loads(seeded.manage("ledger", "--json"))["unfinished"]
    assert left["unreported_runs"] == 3
