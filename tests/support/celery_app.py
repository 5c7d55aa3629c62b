"""The Celery application that the tests start real workers of: `-A support.celery_app`.

Everything comes from the environment, as in a real deployment:

* `BROKER`: URL of broker and result backend.
* `BREAK`: a fix to take out, to see the tests fail without it.
* `SET_UP_IN`: where `setup_telemetry()` is called: `module` (default), `worker_init`, `nowhere`;
  `stock`: OpenTelemetry's own set-up instead.
* `HEADERS`: version of our headers in messages, as another release would write and read them.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Any

from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject

from etl_telemetry import audit, pipelines
from etl_telemetry.celery import message
from etl_telemetry.pipelines import header
from etl_telemetry.setup import setup_telemetry
from support import stock

app = Celery("jobs", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="jobs",
    worker_prefetch_multiplier=1,
    task_publish_retry=False,
)
logger = logging.getLogger("jobs")

if "HEADERS" in os.environ:
    message.VERSION = header.VERSION = int(os.environ["HEADERS"])
_where = os.environ.get("SET_UP_IN", "module")
if _where == "module":
    setup_telemetry(service_name="jobs")
elif _where == "stock":
    stock.set_up()
elif _where == "worker_init":
    signals.worker_init.connect(lambda **_: setup_telemetry(service_name="jobs"), weak=False)
if os.environ.get("BREAK") == "child_flush":
    signals.worker_process_shutdown.receivers.clear()


@app.task
def work(number: int) -> str:
    """Log one record and give back a text of that many characters."""
    logger.warning("working on %d", number)
    return "x" * number


@app.task
def fail(secret: str) -> None:
    """Fail with personal data in the message."""
    raise ValueError(f"duplicate key\nDETAIL:  Key (email)=({secret}) already exists.")


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def flaky(self: Task[Any, Any]) -> str:
    """Fail at the first delivery, succeed at the second."""
    if self.request.retries == 0:
        raise self.retry(exc=OSError("not yet"), countdown=0)
    return "done"


@app.task
def ignore() -> None:
    """End without a result, on purpose."""
    raise Ignore


@app.task(acks_late=True)
def reject() -> None:
    """Refuse the message for good."""
    raise Reject("unreadable", requeue=False)


@app.task
def sleep(seconds: float) -> None:
    """Take a while."""
    logger.warning("sleeping")
    time.sleep(seconds)


@app.task(bind=True)
def die(self: Task[Any, Any]) -> None:
    """Be killed, as by the OOM killer; when the worker knows that it runs, or it runs twice."""
    while self.request.id not in str(app.control.inspect().active()):
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def extract(run_id: str) -> str:
    """First task of a run."""
    with pipelines.step("extract") as step:
        step.add_rows(read=10, written=10)
    logger.warning("extracted")
    return run_id


@app.task
def transform(run_id: str) -> str:
    """Second task of a run."""
    with pipelines.step("transform") as step:
        step.add_rows(read=10, written=9, rejected=1)
    return run_id


@app.task(bind=True, max_retries=1)
def load(self: Task[Any, Any], run_id: str) -> str:
    """Last task of a run: it is retried once, then it finishes the run."""
    if self.request.retries == 0:
        raise self.retry(exc=OSError("the warehouse is away"), countdown=0)
    run = pipelines.current_run()
    assert run is not None
    pipelines.finish_run(
        run.id, "success", name=run.name, organization=run.organization, started_at=run.started_at
    )
    return run_id


@app.task
def breaks(run_id: str) -> None:
    """Second task of a run that fails."""
    raise RuntimeError("boom")


@app.task
def give_up(task_id: str) -> None:
    """Error callback: finish the run as failed."""
    run = pipelines.current_run()
    assert run is not None
    pipelines.finish_run(
        run.id, "failed", name=run.name, organization=run.organization, started_at=run.started_at
    )


@app.task
def confess(more: int) -> None:
    """Write an audit event, then publish the same task once more."""
    audit.record("task_done", resource={"type": "task", "id": more})
    if more:
        confess.delay(more - 1)
