"""`manage.py telemetry_observer` in a real project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.django_project import PATIENCE, Project, fresh, project, wait_for

__all__ = ["fresh", "project"]

CELERY = """
from celery import Celery
app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}
app.conf.task_default_queue = "daily"
"""
OWN = """
from django.contrib.auth.models import User
from etl_telemetry.catalogue import ACTIVE_PIPELINE_RUNS
from etl_telemetry.observer import Reading, Source

def sources():
    return [Source("users", lambda: [Reading(ACTIVE_PIPELINE_RUNS, User.objects.count())])]
"""

SOURCES = ["queues", "workers", "consumers", "database_servers", "audit", "users"]


@pytest.fixture
def shop(project: Project) -> Project:
    """Give a project with a Celery app, a source of its own, and a database."""
    project.append("shop/celery.py", CELERY)
    project.append("shop/__init__.py", "from shop.celery import app")
    project.append("shop/observed.py", OWN)
    project.append(
        "shop/settings.py", 'ETL_TELEMETRY = {"OBSERVER_SOURCES": ["shop.observed:sources"]}\n'
    )
    (project.folder / "queue").mkdir()
    done = project.manage("migrate", "-v", "0")
    assert done.returncode == 0, done.stderr
    return project


@contextmanager
def observer(shop: Project, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run an observer while the block runs, then end it with SIGTERM."""
    with (shop.folder / "observer.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "telemetry_observer", "--interval", "0.2", *options],
            cwd=shop.folder,
            env=shop.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
        if process.poll() is None:
            process.terminate()
            assert process.wait(PATIENCE) == 0, (shop.folder / "observer.log").read_text()
    finally:
        process.kill()
        process.wait()


def events(shop: Project) -> list[object]:
    """Return the names of what the observers have logged."""
    logs = [log for log in shop.query.logs() if log.scope.name == "etl_telemetry.observer"]
    return [log.body for log in sorted(logs, key=lambda log: log.time_ns)]


def points(shop: Project, metric: str) -> int:
    """Return how many points of a metric have come, which must be one series."""
    series = shop.query.series(metric)
    assert len(series) <= 1, series
    assert {s.resource["service.instance.id"] for s in series} <= {"observer"}
    return sum(len(s.points) for s in series)


def test_sources_are_listed(shop: Project) -> None:
    """Of Celery, of Django, of the project; without those that are left out."""
    done = shop.manage("telemetry_observer", "--list")
    assert (done.stdout.split(), done.stderr) == (SOURCES, "")
    done = shop.manage("telemetry_observer", "--list", "--without", "workers", "users")
    assert done.stdout.split() == ["queues", "consumers", "database_servers", "audit"]


def test_once_reads_exports_and_ends(shop: Project) -> None:
    """For who prefers a timer to a process."""
    done = shop.manage("telemetry_observer", "--once", "--without", "workers", "--queues", "slow")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    sizes = shop.query.sum_latest("celery.queue.size", by=["queue.name"])
    assert sizes == {("daily",): 0, ("slow",): 0}
    assert shop.query.sum_latest("active_pipeline_runs") == {(): 0}
    assert shop.query.sum_latest("observer.readings", by=["observer.source", "status"]) == {
        (source, "success"): 1 for source in SOURCES if source != "workers"
    }


def test_audit_events_that_it_drains_arrive(shop: Project) -> None:
    """Its own queries make no telemetry; what it drains is telemetry, and leaves."""
    made = "from django.contrib.auth.models import Group; Group.objects.create(name='writers')"
    assert shop.manage("shell", "-v", "0", "-c", made).returncode == 0
    done = shop.manage("telemetry_observer", "--once", "--without", "workers")
    assert (done.returncode, done.stderr) == (0, "")
    found = [log for log in shop.query.logs() if log.scope.name == "etl_telemetry.audit"]
    assert [(log.body, log.attributes["audit.resource.type"]) for log in found] == [
        ("group_created", "group")
    ]
    assert shop.query.sum_latest("audit.events.waiting") == {(): 0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--without", "queue"],
            f"CommandError: no source is called queue; there are: {', '.join(SOURCES)}\n",
        ),
        (
            ["--interval", "0"],
            "argument --interval: must be a number of seconds above 0, got '0'\n",
        ),
    ],
)
def test_a_wrong_option_is_refused(shop: Project, words: list[str], message: str) -> None:
    """With what there is."""
    done = shop.manage("telemetry_observer", *words)
    assert done.returncode != 0
    assert done.stderr.endswith(message), done.stderr


def test_a_process_that_exports_nothing_is_refused(shop: Project) -> None:
    """It would read for nobody."""
    done = shop.manage("telemetry_observer", ETL_TELEMETRY_ENABLED="false")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "CommandError: telemetry is not switched on in this process: call setup_telemetry() where "
        "the application begins, and see that neither ETL_TELEMETRY_ENABLED nor OTEL_SDK_DISABLED "
        "switches it off\n"
    )


def test_two_observers_report_as_one(shop: Project) -> None:
    """The second waits, takes over when the first is killed, and continues its series."""
    with observer(shop, "--without", "workers") as first:
        wait_for(lambda: points(shop, "active_pipeline_runs") > 1, lambda: events(shop))
        with observer(shop, "--without", "workers"):
            wait_for(lambda: "observer_waits" in events(shop), lambda: events(shop))
            assert events(shop) == ["observer_leads", "observer_waits"]
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            wait_for(lambda: events(shop)[2:] == ["observer_leads"], lambda: events(shop))
            before = points(shop, "active_pipeline_runs")
            wait_for(lambda: points(shop, "active_pipeline_runs") > before, lambda: events(shop))
    (series,) = shop.query.series("active_pipeline_runs")
    assert {point.value for point in series.points} == {0}


def test_a_truth_that_is_gone_ends_its_series(shop: Project) -> None:
    """With the reason in the log; the others go on."""
    # Without what asks the same broker, which would fail as well, in its time.
    with observer(shop, "--without", "workers", "consumers"):
        wait_for(lambda: points(shop, "celery.queue.size"), lambda: events(shop))
        (shop.folder / "queue").rename(shop.folder / "away")
        wait_for(lambda: "observer_source_failed" in events(shop), lambda: events(shop))
        wait_for(
            lambda: shop.query.series("celery.queue.size")[0].points[-1].value is None,
            lambda: shop.query.series("celery.queue.size"),
        )
        before = points(shop, "active_pipeline_runs")
        wait_for(lambda: points(shop, "active_pipeline_runs") > before, lambda: events(shop))
    (failed,) = [log for log in shop.query.logs() if log.body == "observer_source_failed"]
    assert failed.attributes["observer.source"] == "queues"
    assert "queue" in failed.attributes["reason"]
