"""What is built for a process, as a receiver sees it: gated, counted, and never raising."""

from __future__ import annotations

from support.process import receiving, run

_SECRETS = """
    from opentelemetry import trace
    from etl_telemetry import pipeline_run, setup_telemetry

    setup_telemetry(instrumentations=())
    address = "https://shop.example/orders?token=hunter2"
    with trace.get_tracer("any").start_as_current_span("made", attributes={"url.full": address}):
        pass
    with pipeline_run("daily", organization="acme", attributes={"url.full": address}):
        pass
"""
_DROPS = """
    from etl_telemetry import setup_telemetry, step

    setup_telemetry(instrumentations=())
    with step("load") as rows:
        rows.add_rows(read=-1)
"""


def test_no_span_leaves_the_process_past_the_gate() -> None:
    """Neither one that the SDK made nor the root of a run, which is emitted with ids of its own."""
    with receiving() as (receiver, query):
        assert run(_SECRETS, receiver.address).returncode == 0
        found = {span.name: span.attributes["url.full"] for span in query.spans()}
    address = "https://shop.example/orders?token=REDACTED"
    assert found == {"made": address, "pipeline run daily": address}


def test_what_was_dropped_is_exported_by_reason() -> None:
    """A loss is a number in the backend, not only a line in a log."""
    with receiving() as (receiver, query):
        assert run(_DROPS, receiver.address).returncode == 0
        assert query.sum_latest("telemetry.drops", by=("reason",)) == {("invalid_value",): 1}


def test_a_wrong_variable_that_the_sdk_reads_itself_costs_nothing() -> None:
    """The SDK would raise when it is built; the value is ignored, with a warning."""
    with receiving() as (receiver, query):
        done = run(_SECRETS, receiver.address, OTEL_SPAN_EVENT_COUNT_LIMIT="many")
        assert done.returncode == 0
        assert "OTEL_SPAN_EVENT_COUNT_LIMIT must be a whole number of at least 0" in done.stderr
        assert len(query.spans()) == 2
