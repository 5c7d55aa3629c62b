"""Runs of the host that are chains of Celery tasks: `-A chains`, broker and backend in `BROKER`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import django
from celery import Celery, chain

django.setup()

import acts  # noqa: E402 - its models need Django
from work.models import Execution  # noqa: E402

from etl_telemetry import audit, begin_run  # noqa: E402
from etl_telemetry.django.ledger import finish_run  # noqa: E402

app = Celery("chains", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="chains",
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)
_begun = Path(os.environ["HOST_FOLDER"], "begun")


@app.task
def extract(_fate: str) -> None:
    """First task of a chain."""


@app.task
def transform(fate: str) -> None:
    """Second task: as its fate wants it."""
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "terminated":
        with _begun.open("a") as file:
            file.write(f"{transform.request.id}\n")
        time.sleep(600)


@app.task
def load(run: str) -> None:
    """Last task: the run has ended well."""
    assert finish_run(Execution.objects.get(pk=run), "success")
    audit.record("run_loaded", resource={"type": "run", "id": run})


def publish(fates: dict[str, int]) -> None:
    """Begin a run for each fate and publish its chain; revoke and terminate those that want it."""
    for fate, number in fates.items():
        for _ in range(number):
            row = acts.start()
            tasks = chain(extract.si(fate), transform.si(fate), load.si(str(row.pk)))
            if fate == "revoked":
                tasks.tasks[0].set(task_id=f"first-of-{row.pk}")
                app.control.revoke(f"first-of-{row.pk}", reply=True, limit=1, timeout=60)
            # An admin's cancel: nobody is sure to end the run, so whoever finds it overdue does.
            Execution.objects.filter(pk=row.pk).update(stop_asked=fate in {"revoked", "terminated"})
            with audit.acting(7), begin_run("daily", organization="acme", run_id=row.pk):
                tasks.apply_async()
    known: set[str] = set()
    while len(known) < fates["terminated"]:
        running = set(_begun.read_text().split()) if _begun.exists() else set()
        for task in running - known:
            app.control.revoke(task, terminate=True, reply=True, limit=1, timeout=60)
        known |= running
        time.sleep(0.1)
