"""Span ids that two processes can name."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider

from etl_telemetry.runtime.ids import NamedIds, named, next_span_id
from support.process import receiving, run


def test_a_span_that_starts_in_the_block_has_the_id_and_no_other() -> None:
    """Before, after and for None the ids are random."""
    tracer = TracerProvider(id_generator=NamedIds(), shutdown_on_exit=False).get_tracer("test")

    def started() -> int:
        return tracer.start_span("x").get_span_context().span_id

    with next_span_id(7):
        assert started() == 7
    with next_span_id(None):
        assert started() != 7
    with pytest.raises(ValueError, match="boom"), next_span_id(7):
        raise ValueError("boom")
    assert started() != 7


_SEEDED = """
    import os, random
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind
    from etl_telemetry import setup_telemetry
    from etl_telemetry.tracing import emit_child

    setup_telemetry(instrumentations=())
    tracer = trace.get_tracer("any")

    def task():
        random.seed(42)
        with tracer.start_as_current_span("task") as span:
            emit_child(
                span.get_span_context(), "query", kind=SpanKind.CLIENT,
                start_ns=1, end_ns=2, attributes={},
            )
        return random.random()

    drawn = {task(), task()}
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    drawn.add(task())
    assert len(drawn) == 1, "the host's own numbers are as it has seeded them"
"""


def test_ids_are_random_whatever_the_host_does_with_its_seed() -> None:
    """A model is trained the same each time, in tasks whose traces are their own; and in a fork."""
    with receiving() as (receiver, query):
        assert run(_SEEDED, receiver.address).returncode == 0
        spans = query.spans()
    assert sorted(span.name for span in spans) == ["query"] * 4 + ["task"] * 4
    assert len({span.span_id for span in spans}) == 8
    assert len({span.trace_id for span in spans}) == 4


def test_names_make_ids_that_are_valid_and_their_own() -> None:
    """Text that cannot be encoded included."""
    ids = {named("chord", group, index) for group in ("a", "b", "\ud800") for index in range(10)}
    assert len(ids) == 30
    assert all(0 < one < 2**64 for one in ids)
