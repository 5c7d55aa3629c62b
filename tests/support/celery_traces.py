"""Ask for the spans that the tasks of `celery_canvas` left."""

from __future__ import annotations

import re

from etl_telemetry.catalogue import CHORD_SPAN, DELIVERY_SPAN, PUBLISH_SPAN
from etl_telemetry.viewer.records import Span
from support.celery_worker import Received, run_script

APP = "support.celery_canvas"
IMPORT = """
from celery import chain, chord, group
from opentelemetry import trace
from etl_telemetry import pipelines
from support.celery_canvas import *
tracer = trace.get_tracer("web")
"""


def published(script: str, broker: str, received: Received, **variables: str) -> str:
    """Run a publisher in a process of its own; return what it prints."""
    return run_script(IMPORT + script, broker, received, **variables)


def deliveries(received: Received, name: str) -> list[Span]:
    """Return the deliveries of a task, in the order of their begin."""
    return received.query.spans(name=f"run/{APP}.{name}")


def deliveries_of(log: str) -> int:
    """Count the deliveries that ended well."""
    return log.count("task_completed")


def ended(log: str, task: str) -> int:
    """Count the deliveries of a task that ended well."""
    return len(re.findall(rf"Task {APP}\.{task}\[[^]]*\] succeeded", log))


def assert_declared(received: Received) -> None:
    """Every attribute of a publish and of a delivery is in the catalogue, and no other."""
    for entry in (PUBLISH_SPAN, DELIVERY_SPAN, CHORD_SPAN):
        spans = [s for s in received.query.spans() if s.name.startswith(entry.name.split("{")[0])]
        found = {key for span in spans for key in span.attributes}
        assert found <= set(entry.attributes), entry.name
        assert {span.kind for span in spans} <= {entry.kind}
