"""The fixture `telemetry` in the tests of a Django project, with pytest-django."""

from __future__ import annotations

from pathlib import Path

from support.user_tests import assert_passed, run_tests

SETTINGS = """
    SECRET_KEY = "tests"
    INSTALLED_APPS = [
        "django.contrib.contenttypes", "django.contrib.auth", "etl_telemetry.django",
    ]
    MIDDLEWARE = []
    ROOT_URLCONF = "urls"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    USE_TZ = True
    ETL_TELEMETRY = {"SERVICE_NAME": "shop", "TASK_TYPES": {"*.fetch_*": "extract"}}
"""
URLS = """
    from django.contrib.auth.models import Group
    from django.db import transaction
    from django.http import HttpResponse
    from django.urls import path

    from etl_telemetry import audit, begin_run
    from tasks import fetch_orders

    def publish(group):
        with begin_run("orders", organization="acme", run_id=str(group.pk)):
            fetch_orders.delay()

    @transaction.atomic
    def start(request):
        group = Group.objects.create(name="orders")
        audit.record("order_started", resource={"type": "group", "id": group.pk})
        transaction.on_commit(lambda: publish(group))
        return HttpResponse("started")

    urlpatterns = [path("start/<int:number>/", lambda request, number: start(request))]
"""
TASKS = """
    from celery import Celery

    from etl_telemetry import step

    app = Celery("shop", broker="memory://localhost", backend="cache+memory://")
    app.conf.task_always_eager = True

    @app.task
    def fetch_orders():
        with step("extract") as rows:
            rows.add_rows(read=3, written=3)
"""
FUNCTIONS = """
    import pytest

    @pytest.mark.django_db
    @pytest.mark.parametrize("number", [1, 2])
    def test_start(telemetry, client, django_capture_on_commit_callbacks, number):
        with django_capture_on_commit_callbacks(execute=True):
            assert client.get(f"/start/{number}/").status_code == 200
        request = telemetry.spans.named("GET start/<int:number>/")
        assert (request.kind, request.status) == ("server", "unset")
        assert telemetry.audit.named("order_started").trace_id == request.trace_id
        assert telemetry.metrics.named("task.executions", by=["task.type", "pipeline.name"]) == {
            ("extract", "orders"): 1
        }
        assert telemetry.spans.named("step extract").attributes["step.rows.read"] == 3
        requests = telemetry.metrics.named("http.server.request.duration", by=["http.route"])
        assert {key: value.count for key, value in requests.items()} == {
            ("start/<int:number>/",): 1
        }
"""
CLASSES = """
    import pytest
    from django.test import TestCase, TransactionTestCase

    class Start(TestCase):
        @pytest.fixture(autouse=True)
        def _telemetry(self, telemetry):
            self.telemetry = telemetry

        def test_work_of_on_commit_runs_in_the_block(self):
            with self.captureOnCommitCallbacks(execute=True):
                self.client.get("/start/1/")
                self.assertEqual(self.telemetry.spans.all_named("step extract"), ())
            self.assertEqual(len(self.telemetry.spans.all_named("step extract")), 1)

        def test_work_of_on_commit_does_not_run_without(self):
            self.client.get("/start/1/")
            self.assertEqual(self.telemetry.spans.all_named("step extract"), ())

    class StartAndCommit(TransactionTestCase):
        @pytest.fixture(autouse=True)
        def _telemetry(self, telemetry):
            self.telemetry = telemetry

        def test_commits(self):
            self.client.get("/start/1/")
            self.assertEqual(len(self.telemetry.spans.all_named("step extract")), 1)
"""
FILES = {"shop_settings": SETTINGS, "urls": URLS, "tasks": TASKS}


def test_request_and_its_work_on_commit_are_captured(tmp_path: Path) -> None:
    """Telemetry that `ready()` set up is captured; on_commit's task runs, also with xdist."""
    for options in ((), ("-n", "2")):
        done = run_tests(tmp_path, "--ds=shop_settings", *options, test_shop=FUNCTIONS, **FILES)
        assert_passed(done, 2)


def test_test_cases_of_django_are_captured(tmp_path: Path) -> None:
    """`captureOnCommitCallbacks(execute=True)` in a TestCase; commits in a TransactionTestCase."""
    assert_passed(run_tests(tmp_path, "--ds=shop_settings", test_shop=CLASSES, **FILES), 3)
