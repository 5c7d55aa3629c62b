"""The platform's runs are counted as its table has them, although who counts is killed."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

from etl_telemetry.viewer.query import Query
from support.process import receiving

END_RUNS = """
import django; django.setup()
from apps.pipelines.models import Pipeline, PipelineRun
from etl_telemetry.django.ledger import finish_run
oo, aa = Pipeline.objects.get(name="flights-oo-ewr"), Pipeline.objects.get(name="fleet-aa")
for pipeline, status in ((oo, "success"), (oo, "failed"), (aa, "failed")):
    run = PipelineRun.objects.create(pipeline=pipeline, trigger_type="manual")
    assert finish_run(run, status, error=None if status == "success" else "Broken.")
"""
PATIENCE = 120.0
Counts = dict[tuple[str, str], int]


def _end_runs(platform: Any) -> None:
    done = platform.run(
        sys.executable, "-c", END_RUNS, DJANGO_SETTINGS_MODULE="etl_platform.settings",
        OTEL_SDK_DISABLED="true",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _counted(query: Query) -> Counts:
    """Return what a receiver knows that adds up what a series had before its restarts."""
    found = query.sum_latest("pipeline.executions", by=("pipeline.name", "status"))
    return {(str(name), str(status)): int(n) for (name, status), n in found.items() if n}


def _ledger(platform: Any) -> tuple[Counts, dict[str, int]]:
    told = json.loads(platform.manage("ledger", "--json"))
    runs = {(name, status): n for name, by in told["runs"].items() for status, n in by.items()}
    return runs, told["unfinished"]


def test_counts_are_those_of_the_table_after_a_kill(seeded: Any) -> None:
    """Who counts is killed with -9, and the next one goes on: every run counts once."""
    with receiving() as (receiver, query):
        seeded.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.address
        _end_runs(seeded)
        command = seeded.command("telemetry_ledger", "--interval", "1", "--lease", "3")
        with seeded.running(*command) as first:
            end = time.monotonic() + PATIENCE
            while sum(_counted(query).values()) < 3:
                assert first.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            first.send_signal(signal.SIGKILL)
        _end_runs(seeded)
        with seeded.running(*command) as second:
            while sum(_counted(query).values()) < 6:
                assert second.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            second.terminate()
            assert second.wait(PATIENCE) == 0
        runs, unfinished = _ledger(seeded)
        assert (
            runs
            == _counted(query)
            == {
                ("fleet-aa", "failed"): 2,
                ("flights-oo-ewr", "failed"): 2,
                ("flights-oo-ewr", "success"): 2,
            }
        )
        assert (unfinished["runs"], unfinished["unreported_runs"]) == (0, 0)
        roots = [span for span in query.spans(limit=None) if span.name.startswith("pipeline run ")]
        assert len({span.trace_id for span in roots}) == 6
        failed = next(s for s in roots if s.attributes["pipeline.name"] == "fleet-aa")
        assert (failed.status, failed.status_message) == ("error", "Broken.")


def test_beat_that_observes_counts_runs(seeded: Any) -> None:
    """It drains the ledger as any observer does: what it reported stays when it has ended."""
    with receiving() as (receiver, query):
        beats = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
            "ETL_TELEMETRY_OBSERVER_IN_BEAT": "true",
            "CELERY_BROKER_URL": "memory://",
            "CELERY_RESULT_BACKEND": "cache+memory://",
        }
        seeded.variables.update(beats)
        _end_runs(seeded)
        beat = (sys.executable, "-m", "celery", "-A", "etl_platform", "beat", "--pidfile=")
        with seeded.running(*beat) as running:
            end = time.monotonic() + PATIENCE
            while sum(_counted(query).values()) < 3:
                assert running.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
        runs, unfinished = _ledger(seeded)
        assert runs == _counted(query)
        assert (sum(runs.values()), unfinished["unreported_runs"]) == (3, 0)
        totals = query.series("pipeline.executions")
        assert {one.resource["service.instance.id"] for one in totals} == {"ledger"}
