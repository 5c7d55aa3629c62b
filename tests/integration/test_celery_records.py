"""What a real worker logs of each delivery: every event, every field, and nothing else."""

from __future__ import annotations

from typing import Any

from etl_telemetry.catalogue import LOG_EVENTS
from etl_telemetry.viewer.records import LogRecord
from support.broker import broker, broker_server
from support.celery_worker import Received, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

APP = "support.celery_app"
PUBLISH = """
import datetime
from support.celery_app import *

past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
with pipelines.begin_run("daily", organization="acme", run_id="7"):
    work.delay(3)
    fail.delay("ada@example.com")
    flaky.delay()
    reject.delay()
    work.apply_async((4,), expires=past)
    die.delay()
"""
RUN = {"pipeline.name": "daily", "pipeline.organization": "acme", "pipeline.run.id": "7"}
LEVELS = {9: "INFO", 13: "WARNING", 17: "ERROR"}
OF_ALL = ("code.", "thread.id", "log.record.uid")
ENDS: list[tuple[str, str, str, dict[str, object]]] = [
    ("die", "task_lost", "ERROR", {
        "task.status": "lost", "error.type": "billiard.exceptions.WorkerLostError",
    }),
    ("fail", "task_failed", "ERROR", {
        "task.status": "failed", "error.type": "ValueError", "exception.type": "ValueError",
        "exception.message": "duplicate key\nDETAIL: ?",
    }),
    ("flaky", "task_completed", "INFO", {"task.status": "success", "task.result.size": 4}),
    ("flaky", "task_retried", "WARNING", {
        "task.status": "retried", "task.retry.reason": "OSError: not yet",
    }),
    ("reject", "task_rejected", "WARNING", {
        "task.status": "failed", "error.type": "celery.exceptions.Reject",
        "exception.message": "unreadable",
    }),
    ("work", "task_completed", "INFO", {
        "task.status": "success", "task.result.size": 3, "etl_telemetry.argument.number": 3,
    }),
    ("work", "task_revoked", "WARNING", {
        "task.status": "revoked", "etl_telemetry.argument.number": 4,
    }),
]  # fmt: skip


def fields(log: LogRecord) -> dict[str, Any]:
    """Return the fields of a record without those that every record has."""
    return {key: value for key, value in log.attributes.items() if not key.startswith(OF_ALL)}


def test_each_end_of_a_delivery_is_a_record_with_all_that_is_known(
    broker: str, received: Received
) -> None:
    """Id, name, run, duration, state, exception, retry reason, result size; arguments by name."""
    variables = {"ETL_TELEMETRY_TASK_ARGUMENTS": "number"}
    with worker(broker, received, "--pool=prefork", "-c1", variables=variables) as running:
        run_script(PUBLISH, broker, received)
        running.wait_for(
            lambda: "task_lost" in running.log and running.log.count("task_completed") >= 2,
            "the ends of the killed task, and of the one that was retried",
        )
    logs = [log for log in received.query.logs() if str(log.body).startswith("task_")]
    ends = [log for log in logs if log.body != "task_started"]
    told = []
    for log in ends:
        found = fields(log)
        name = str(found.pop("task.name"))
        assert len(str(found.pop("task.id"))) == 36
        assert found.pop("task.type") == "other"
        if log.body != "task_revoked":
            assert found.pop("task.duration") >= 0
        if log.body == "task_failed":
            assert "raise ValueError" in str(found.pop("exception.stacktrace"))
        if log.body == "task_lost":  # Celery's words or ours: who notices first.
            assert "SIGKILL" in str(found.pop("exception.message"))
        assert {key: found.pop(key, None) for key in RUN} == RUN
        told.append((name.removeprefix(f"{APP}."), str(log.body), LEVELS[log.severity], found))
    assert sorted(told, key=lambda end: end[:2]) == ENDS
    begun = [log for log in logs if log.body == "task_started"]
    assert len(begun) == len(ends) - 1  # The revoked one never began.
    assert {log.trace_id for log in logs} == {ends[0].trace_id}
    for log in logs:
        event = LOG_EVENTS[str(log.body)]
        allowed = {*event.fields, "etl_telemetry.argument.number"}
        exception = {key for key in fields(log) if key.startswith("exception.")}
        assert set(fields(log)) <= allowed | exception, log.body
        assert event.level == LEVELS[log.severity]
    assert "ada@example.com" not in str(logs)
