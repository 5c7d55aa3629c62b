"""A result backend in a database: its statements are no spans, and the application's own are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from support.broker import broker, broker_server
from support.celery_worker import Received, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

SETTINGS = """
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["django_celery_results"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": "results.db", "OPTIONS": {"timeout": 60},
}}
"""
APP = """
import os
from celery import Celery
from etl_telemetry.setup import setup_telemetry

app = Celery("jobs", broker=os.environ["BROKER"], backend="django-db")
app.conf.task_default_queue = "jobs"
setup_telemetry(service_name="jobs")

@app.task
def add(a, b):
    return a + b

@app.task
def total(numbers):
    from django.db import connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS mine")
    return sum(numbers)
"""
MIGRATE = """
import django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
"""
CHORD = """
import django
django.setup()
from celery import chord
from shop import add, total
print(chord([add.s(1, 2), add.s(3, 4)], total.s()).apply_async().get(timeout=100))
"""


@pytest.fixture
def project(received: Received) -> Path:
    """Write a Django project whose results are in its database."""
    (received.folder / "shop_settings.py").write_text(SETTINGS)
    (received.folder / "shop.py").write_text(APP)
    return received.folder


def played(broker: str, received: Received, **variables: str) -> Counter[str]:
    """Run a chord with a real worker; return what was asked of the database, by its first words."""
    variables = {"DJANGO_SETTINGS_MODULE": "shop_settings", **variables}
    run_script(MIGRATE, broker, received, **variables)
    with worker(broker, received, "-P", "solo", app="shop", variables=variables):
        assert run_script(CHORD, broker, received, **variables) == "10"
    statements = (str(span.attributes.get("db.query.text", "")) for span in received.query.spans())
    return Counter(each for each in statements if each)


@pytest.mark.usefixtures("project")
def test_only_the_applications_own_statement_is_a_span(broker: str, received: Received) -> None:
    """And the chord's body, which the backend published, is in the trace and has its links."""
    assert played(broker, received) == {"SELECT ? AS mine": 1}
    spans = received.query.spans()
    assert len({span.trace_id for span in spans}) == 1
    names = Counter(span.name for span in spans if span.kind in {"producer", "consumer"})
    assert names == {
        "apply_async/shop.add": 2, "apply_async/shop.total": 1,
        "run/shop.add": 2, "run/shop.total": 1,
    }  # fmt: skip
    (body,) = (span for span in spans if span.name == "run/shop.total")
    assert len(body.links) == 2


@pytest.mark.usefixtures("project")
def test_broker_commands_shows_all(broker: str, received: Received) -> None:
    """The switch: each statement of the backend is a span."""
    found = played(broker, received, ETL_TELEMETRY_BROKER_COMMANDS="true")
    assert found["SELECT ? AS mine"] == 1
    assert any("django_celery_results_chordcounter" in each for each in found)
    assert any(each.startswith("INSERT INTO") and "taskresult" in each for each in found)
