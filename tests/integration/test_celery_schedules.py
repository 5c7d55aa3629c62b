"""Schedules of real beats: kept in a file, in Redis, in the database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.broker import broker, broker_server
from support.celery_worker import PATIENCE, Received, environment, received
from support.django_project import Project, fresh, project

__all__ = ["broker", "broker_server", "fresh", "project", "received"]

APP = """
import os
from support.celery_app import app
app.conf.beat_schedule = {"tick": {"task": "support.celery_app.work", "schedule": 1.0, "args": [1]}}
app.conf.beat_max_loop_interval = 1
if os.environ.get("REDBEAT"):
    app.conf.beat_scheduler = "redbeat.RedBeatScheduler"
    app.conf.redbeat_redis_url = os.environ["BROKER"]
    app.conf.redbeat_lock_timeout = 5
"""
VARIABLES = {
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
    "ETL_TELEMETRY_BEAT_TOLERANCE": "1.5",
    "ETL_TELEMETRY_OBSERVER_INTERVAL": "0.2",
}


@contextmanager
def running(
    words: list[str], folder: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process while the block runs, then end it with SIGTERM."""
    with (folder / "process.log").open("ab") as log:
        process = subprocess.Popen(words, env=variables, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
        process.terminate()
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def beat(broker: str, received: Received, **more: str) -> list[object]:
    """Return the arguments of `running` for a beat."""
    (received.folder / "scheduled.py").write_text(APP)
    variables = environment(broker, received.endpoint, **VARIABLES, **more)
    variables["PYTHONPATH"] += os.pathsep + str(received.folder)
    return [
        [sys.executable, "-m", "celery", "-A", "scheduled", "beat", "-l", "INFO"],
        received.folder,
        variables,
    ]


def wait_for(condition: Callable[[], object], folder: Path) -> None:
    """Wait until something is so; fail with what the processes said."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, (folder / "process.log").read_text()
        time.sleep(0.1)


def missed(received: Received) -> float:
    """Return how often the schedule was missed."""
    found = received.query.sum_latest("celery.beat.missed", by=["schedule.name"])
    return float(found.get(("tick",), 0))  # type: ignore[arg-type]


def due(received: Received) -> list[float]:
    """Return the due times that were told, one after the other."""
    series = [
        one
        for one in received.query.series("celery.beat.next_due.timestamp")
        if one.attributes["schedule.name"] == "tick"
    ]
    return [point.value for one in series for point in one.points]  # type: ignore[misc]


def test_beat_observes_its_own_schedule(broker: str, received: Received) -> None:
    """While it sends nothing is missed; what it missed while it was down, it tells at its start."""
    begin = beat(broker, received, ETL_TELEMETRY_OBSERVER_IN_BEAT="true")
    with running(*begin):  # type: ignore[arg-type]
        wait_for(lambda: len(set(due(received))) > 3, received.folder)
    assert missed(received) == 0
    time.sleep(4)
    with running(*begin):  # type: ignore[arg-type]
        wait_for(lambda: missed(received) > 0, received.folder)
        before = missed(received)
        told = len(set(due(received)))
        wait_for(lambda: len(set(due(received))) > told + 2, received.folder)
        assert missed(received) == before
    queue = received.query.series("celery.queue.size")
    assert {one.resource["service.instance.id"] for one in queue} == {"observer"}


def test_a_beat_that_is_not_asked_observes_nothing(broker: str, received: Received) -> None:
    """An observer is a process of its own, unless somebody wants it there."""
    with running(*beat(broker, received)):  # type: ignore[arg-type]
        log = received.folder / "process.log"
        wait_for(lambda: "Sending due task tick" in log.read_text(), received.folder)
    assert received.query.series("celery.queue.size") == []


def test_redbeat_is_read_from_redis(broker: str, received: Received) -> None:
    """By an observer, which goes on when beat is gone, and counts what it misses."""
    observe = [str(Path(sys.executable).with_name("etl-telemetry")), "observer"]
    words = [*observe, "--app", "scheduled", "--lock", str(received.folder / "lock")]
    _, folder, variables = begin = beat(broker, received, REDBEAT="1")
    with running(words, folder, variables):  # type: ignore[arg-type]
        with running(*begin) as process:  # type: ignore[arg-type]
            wait_for(lambda: len(set(due(received))) > 3, received.folder)
            assert missed(received) == 0
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_for(lambda: missed(received) > 2, received.folder)
        assert len(set(due(received)[-5:])) == 1
        # By hand: the schedule is as late as it was, and is missed on.
        backfill = "from scheduled import app; app.send_task('support.celery_app.work', [1])"
        subprocess.run([sys.executable, "-c", backfill], env=variables, check=True)
        before, told = missed(received), due(received)[-1]
        wait_for(lambda: missed(received) > before + 1, received.folder)
        assert due(received)[-1] == told


PERIODIC = """
from datetime import timedelta
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
ago = timezone.now() - timedelta(hours=1)
for name, more in (
    ("tick", {}), ("off", {"enabled": False}), ("over", {"expires": ago}),
    ("later", {"start_time": timezone.now() + timedelta(days=1)}),
):
    PeriodicTask.objects.create(name=name, task="x", interval=every, last_run_at=ago, **more)
"""


def test_periodic_tasks_are_read_from_the_database(project: Project) -> None:
    """Those of django-celery-beat that are enabled now."""
    project.append("shop/settings.py", 'INSTALLED_APPS += ["django_celery_beat"]\n')
    project.append("periodic.py", PERIODIC)
    assert project.manage("migrate", "-v", "0").returncode == 0
    done = project.manage("shell", "-v", "0", "-c", PERIODIC)
    assert done.returncode == 0, done.stderr
    words = [sys.executable, "manage.py", "telemetry_observer"]
    with running(words, project.folder, project.environment(**VARIABLES)):
        seen = Received("", project.query, project.folder)
        wait_for(lambda: missed(seen) > 1, project.folder)
    names = {
        one.attributes["schedule.name"]
        for one in project.query.series("celery.beat.next_due.timestamp")
    }
    assert names == {"tick"}
    (first, *_) = due(seen)
    assert time.time() - first > 3500
