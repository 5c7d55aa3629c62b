"""The fixture `telemetry` in tests of Celery tasks: eager, and with real workers."""

from __future__ import annotations

from pathlib import Path

from support.user_tests import assert_passed, run_tests

TASKS = """
    from celery import Celery

    from etl_telemetry import setup_telemetry, step

    setup_telemetry(service_name="shop", task_types={"*.fetch_*": "extract"})
    app = Celery("shop", broker="memory://localhost", backend="cache+memory://")

    @app.task(bind=True, max_retries=1)
    def fetch_orders(self, fail=False):
        if fail and self.request.retries == 0:
            raise self.retry(countdown=0, exc=ConnectionError("no answer"))
        with step("extract") as rows:
            rows.add_rows(read=3, written=3)
        return 3
"""
EAGER = """
    import pytest

    from etl_telemetry import begin_run
    from tasks import app, fetch_orders

    @pytest.fixture(autouse=True)
    def eager():
        app.conf.task_always_eager = True

    @pytest.mark.parametrize("fail", [False, True])
    def test_fetch(telemetry, fail):
        with begin_run("orders", organization="acme"):
            assert fetch_orders.delay(fail=fail).get() == 3
        retried = {("extract", "retried", "orders"): 1} if fail else {}
        assert telemetry.metrics.named(
            "task.executions", by=["task.type", "status", "pipeline.name"]
        ) == {("extract", "success", "orders"): 1, **retried}
        assert telemetry.metrics.named("data.rows.read", by=[]) == {(): 3}
"""
WORKER = """
    import pytest
    from celery.contrib.testing.worker import start_worker

    from etl_telemetry import begin_run
    from tasks import app, fetch_orders

    @pytest.fixture(scope="module", autouse=True)
    def worker():
        with start_worker(app, pool=POOL, concurrency=1, perform_ping_check=False):
            yield

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_fetch(telemetry, number):
        with begin_run("orders", organization="acme"):
            assert fetch_orders.delay().get(timeout=60) == 3
        task = "run/tasks.fetch_orders"
        telemetry.wait_for(lambda: telemetry.spans.all_named(task))
        telemetry.wait_for(lambda: telemetry.logs.all_named("task_completed"))
        assert telemetry.spans.tree() == (
            "apply_async/tasks.fetch_orders\\n  run/tasks.fetch_orders\\n    step extract"
        )
        assert telemetry.metrics.named("task.executions", by=["task.type", "status"]) == {
            ("extract", "success"): 1
        }
"""


def test_eager_tasks_are_captured(tmp_path: Path) -> None:
    """`task_always_eager`: each delivery is counted, a retry too, with its run and its rows."""
    assert_passed(run_tests(tmp_path, tasks=TASKS, test_tasks=EAGER), 2)


def test_worker_in_a_thread_is_captured_per_test(tmp_path: Path) -> None:
    """One worker for several tests: each test sees the deliveries that it published."""
    for pool in ("solo", "threads"):
        done = run_tests(tmp_path, tasks=TASKS, test_tasks=WORKER.replace("POOL", repr(pool)))
        assert_passed(done, 3)
