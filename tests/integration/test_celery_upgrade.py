"""A rolling upgrade: web and worker of different releases for a while.

The release before is OpenTelemetry's own instrumentation, which most will come from, and one whose
headers have another version than ours; so is the release after.
"""

from __future__ import annotations

import pytest

from support.broker import broker, broker_server
from support.celery_worker import Received, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

OURS: dict[str, str] = {}
STOCK = {"SET_UP_IN": "stock"}
OLDER, NEWER = {"HEADERS": "0"}, {"HEADERS": "2"}
PUBLISH = """
from opentelemetry import trace
from support.celery_app import *

with trace.get_tracer("web").start_as_current_span("GET /"):
    {publish}.get(timeout=100)
"""
IN_A_RUN = """
from support.celery_app import *

with pipelines.begin_run("daily", organization="acme") as run:
    result = extract.delay("x")
result.get(timeout=100)
print(run.trace_id)
"""


def lines(received: Received) -> list[tuple[str, str | None]]:
    """Return each span with its parent's name; Redis apart, and what the worker itself does."""
    spans = [span for span in received.query.spans() if span.kind != "client"]
    names = {span.span_id: span.name for span in spans}
    return [(span.name, names.get(span.parent_span_id or "")) for span in spans]


@pytest.mark.parametrize(
    ("web", "working"),
    [(STOCK, OURS), (OURS, STOCK), (OLDER, OURS), (NEWER, OURS), (OURS, NEWER)],
    ids=["stock web", "stock worker", "older web", "newer web", "newer worker"],
)
def test_web_and_worker_of_different_releases_make_one_trace(
    web: dict[str, str], working: dict[str, str], broker: str, received: Received
) -> None:
    """Each delivery has one span, in the request's trace, and one count if the worker is ours."""
    with worker(broker, received, "-P", "solo", variables=working):
        run_script(PUBLISH.format(publish="work.delay(1)"), broker, received, **web)
    task = "support.celery_app.work"
    assert sorted(lines(received)) == [
        ("GET /", None),
        (f"apply_async/{task}", "GET /"),
        (f"run/{task}", f"apply_async/{task}"),
    ]
    spans = [span for span in received.query.spans() if span.kind != "client"]
    assert len({span.trace_id for span in spans}) == 1
    counted = received.query.sum_latest("task.executions", by=("status",))
    assert counted == ({} if working is STOCK else {("success",): 1})


def test_a_retry_through_a_stock_web_is_counted_per_delivery(
    broker: str, received: Received
) -> None:
    """Its second delivery stands beside the first, though nobody wrote a header for that."""
    with worker(broker, received, "-P", "solo"):
        run_script(PUBLISH.format(publish="flaky.delay()"), broker, received, **STOCK)
    task = "support.celery_app.flaky"
    assert sorted(lines(received)) == [
        ("GET /", None),
        (f"apply_async/{task}", "GET /"),
        (f"apply_async/{task}", f"run/{task}"),
        (f"run/{task}", f"apply_async/{task}"),
        (f"run/{task}", f"apply_async/{task}"),
    ]
    counted = received.query.sum_latest("task.executions", by=("status",))
    assert counted == {("retried",): 1, ("success",): 1}


@pytest.mark.parametrize(
    ("web", "working", "pipeline"),
    [(OURS, OURS, "daily"), (NEWER, NEWER, "daily"), (NEWER, OURS, "unknown"),
     (OURS, NEWER, "unknown")],
    ids=["both ours", "both newer", "newer web", "newer worker"],
)  # fmt: skip
def test_a_run_stays_one_trace_where_its_header_is_not_understood(
    web: dict[str, str], working: dict[str, str], pipeline: str, broker: str, received: Received
) -> None:
    """What is missing then is the name of its pipeline: the trace travels in headers of W3C."""
    with worker(broker, received, "-P", "solo", variables=working):
        trace = run_script(IN_A_RUN, broker, received, **web)
    task = "support.celery_app.extract"
    names = sorted(span.name for span in received.query.trace(trace) if span.kind != "client")
    assert names == [f"apply_async/{task}", f"run/{task}", "step extract"]
    counted = received.query.sum_latest("task.executions", by=("pipeline.name", "status"))
    assert counted == {(pipeline, "success"): 1}
