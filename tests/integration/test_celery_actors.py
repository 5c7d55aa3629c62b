"""Who acts is known in every task that follows, and in no other."""

from __future__ import annotations

import pytest

from support.broker import broker, broker_server
from support.celery_worker import Received, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

PUBLISH = """
from celery import chain
from support.celery_app import *

with audit.acting(7, organization="acme"):
    chain(work.si(1), confess.si(1)).apply_async()
confess.delay(0)
"""


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_tasks_act_for_who_published_the_first_one(
    pool: str, broker: str, received: Received
) -> None:
    """Over a chain and a task that publishes another; the next message has nobody's actor."""
    with worker(broker, received, "--pool", pool, "--concurrency", "1") as running:
        run_script(PUBLISH, broker, received)
        running.wait_for(
            lambda: len(received.query.logs(logger="etl_telemetry.audit")) == 3, "three events"
        )
    told = sorted(
        (
            record.attributes["audit.resource.id"],
            record.attributes["audit.actor"],
            record.attributes.get("audit.organization"),
        )
        for record in received.query.logs(logger="etl_telemetry.audit")
    )
    assert told == [("0", "7", "acme"), ("0", "unknown", None), ("1", "7", "acme")]
