"""What a task of a real worker asks a real database is on its span, and on that of its step."""

from __future__ import annotations

from typing import Any

from etl_telemetry.viewer.records import Span
from support.broker import broker, broker_server
from support.celery_worker import Received, run_script, worker
from support.django_project import Project, fresh, project

__all__ = ["broker", "broker_server", "fresh", "project"]

APP = """
import os
from celery import Celery

app = Celery("shop", broker=os.environ["BROKER"])
app.conf.task_default_queue = "shop"
"""
TASKS = """
import django

django.setup()

from django.contrib.auth.models import Group

from etl_telemetry import step
from shop.celery import app

@app.task
def sync():
    Group.objects.count()
    with step("load"):
        for number in range(3):
            Group.objects.filter(pk=number).first()
"""


def test_a_repeated_query_of_a_task_and_its_step_is_told(project: Project, broker: str) -> None:
    """The number, the time, and the statement that a loop sends again and again."""
    project.append("shop/celery.py", APP)
    project.append("shop/tasks.py", TASKS)
    assert project.manage("migrate", "-v", "0", BROKER=broker).returncode == 0
    received = Received(project.receiver.address, project.query, project.folder)
    variables = project.environment(PYTHONPATH=str(project.folder), PYTHONWARNINGS="default")
    with worker(broker, received, "-c1", app="shop.tasks", variables=variables) as running:
        publish = "from shop.celery import app; app.send_task('shop.tasks.sync')"
        run_script(publish, broker, received, **variables, OTEL_SDK_DISABLED="true")
        running.wait_for(lambda: "task_completed" in running.log, "the task")
    (task,) = project.query.spans(name="run/shop.tasks.sync")
    (step,) = project.query.spans(name="step load")
    statement = told(step).pop("db.query.repeated.text")
    assert statement.startswith("SELECT ")
    assert 'WHERE "auth_group"."id" = ' in statement
    common = {"db.query.repeated.text": statement, "db.query.repeated.count": 3}
    assert (told(task), told(step)) == (
        {"db.query.count": 4, **common},
        {"db.query.count": 3, **common},
    )
    assert 0 < seconds(step) <= seconds(task) <= (task.end_ns - task.start_ns) / 1e9


def told(span: Span) -> dict[str, Any]:
    """Return what a span says of its queries, but for the time."""
    found = {key: value for key, value in span.attributes.items() if key.startswith("db.")}
    del found["db.query.duration"]
    return found


def seconds(span: Span) -> float:
    """Return the time that its queries took."""
    duration: Any = span.attributes["db.query.duration"]
    return float(duration)
