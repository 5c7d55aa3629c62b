"""What the test kit says about records and metrics that are there, and about those that are not."""

from __future__ import annotations

import re

import pytest

from etl_telemetry.testing import (
    AuditEvent,
    AuditEvents,
    HistogramValue,
    LogRecord,
    Logs,
    Metrics,
    Span,
    Spans,
)

SPANS = Spans([Span("load"), Span("load"), Span("extract")])
LOGS = Logs([LogRecord("rows 3", event_name="rows_loaded"), LogRecord("done")])
AUDIT = AuditEvents([AuditEvent("user_login", {"type": "user", "id": "7"})])
STATUS, PIPELINE = ("status", "success"), ("pipeline.name", "orders")


@pytest.mark.parametrize(
    ("found", "name", "message"),
    [
        (SPANS, "run", "no span is called 'run'; there are: 'extract', 'load' (2)"),
        (SPANS, "load", "2 spans are called 'load', expected one; all_named() gives them all"),
        (Spans(), "load", "no span is called 'load'; there are: none"),
        (LOGS, "x", "no log record is called 'x'; there are: 'done', 'rows_loaded'"),
        (AUDIT, "x", "no audit event is called 'x'; there are: 'user_login'"),
    ],
)
def test_wrong_name_tells_what_there_is(
    found: Spans | Logs | AuditEvents, name: str, message: str
) -> None:
    """`named` raises `AssertionError` with the names that there are."""
    with pytest.raises(AssertionError, match=f"^{re.escape(message)}$"):
        found.named(name)


def test_record_is_found_by_event_name_and_by_message() -> None:
    """A log record has two names."""
    assert LOGS.named("rows_loaded") is LOGS.named("rows 3")


def test_ids_and_times_take_no_part_in_equality() -> None:
    """Two spans are equal if they say the same."""
    assert Span("load", trace_id="a", started_at=1.0) == Span("load", trace_id="b")
    assert Span("load") != Span("load", status="error")
    assert repr(AUDIT[0]) == (
        "AuditEvent(event_type='user_login', resource={'type': 'user', 'id': '7'}, "
        "actor='unknown', organization=None, outcome='success', details={})"
    )


def test_tree_goes_by_parent_and_start() -> None:
    """Children are further in, in the order of their start; a stranger's child stands left."""
    spans = Spans(
        [
            Span("second", span_id="c", parent_id="a", started_at=3.0, status="error"),
            Span("first", span_id="b", parent_id="a", started_at=2.0),
            Span("run", span_id="a", started_at=1.0),
            Span("of a stranger", span_id="d", parent_id="z", started_at=4.0),
        ]
    )
    assert spans.tree() == "run\n  first\n  second [error]\nof a stranger"


def test_metric_is_summed_by_labels() -> None:
    """`by` adds up what differs in other labels; histograms by their counts."""
    histogram = HistogramValue(count=2, sum=0.5)
    metrics = Metrics(
        {
            "runs": {(PIPELINE, STATUS): 1, (PIPELINE, ("status", "failed")): 2},
            "duration": {(PIPELINE, STATUS): histogram, (PIPELINE,): histogram},
        }
    )
    assert metrics.named("runs", by=["pipeline.name"]) == {("orders",): 3}
    assert metrics.named("runs", by=[]) == {(): 3}
    assert metrics.named("runs") == metrics["runs"]
    assert metrics.named("duration", by=["status"]) == {
        ("success",): HistogramValue(count=2),
        (None,): HistogramValue(count=2),
    }
    assert metrics.named("duration", by=[])[()] == HistogramValue(count=4)


def test_absent_metric_tells_what_there_is() -> None:
    """`named` raises `AssertionError` with the names of all metrics."""
    message = "no metric 'rows' has a value; there are: 'runs'"
    with pytest.raises(AssertionError, match=f"^{re.escape(message)}$"):
        Metrics({"runs": {(): 1}}).named("rows")
