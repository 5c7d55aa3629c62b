"""Trace, baggage and run go along to child processes."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context

from etl_telemetry.pipelines import (
    begin_run,
    child_environment,
    continue_trace,
    current_run,
    in_child,
)
from etl_telemetry.runtime import propagation
from support.whereabouts import put, whereabouts

CHILD = """
import json
from opentelemetry import baggage, trace
from etl_telemetry.pipelines import continue_trace, current_run
from etl_telemetry.runtime import propagation

propagation.install(["tracecontext", "baggage"])
with continue_trace():
    here, run = trace.get_current_span().get_span_context(), current_run()
    print(json.dumps([here.trace_id, here.span_id, dict(baggage.get_all()), run and run.id]))
"""
ALL = {"TRACEPARENT", "TRACESTATE", "BAGGAGE", "ETL_PIPELINE_RUN"}


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    propagation.install(["tracecontext", "baggage"])
    token = context.attach(Context())
    yield
    context.detach(token)


@pytest.fixture
def inside() -> Iterator[list[Any]]:
    """Be inside of a run, with baggage; give what is current."""
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    with begin_run("daily", organization="acme", run_id="7") as run:
        yield [run.span_context.trace_id, run.span_context.span_id, {"tenant": "acme"}, "7"]
    context.detach(token)


def test_a_subprocess_goes_on_with_trace_baggage_and_run(inside: list[Any]) -> None:
    """The environment carries them, in the variables of the specification."""
    told = child_environment({"PATH": "/bin", "TRACEPARENT": "of somebody else"})
    assert set(told) == {"PATH", *ALL}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=child_environment(), capture_output=True, check=True
    )
    assert json.loads(done.stdout) == inside


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_of_multiprocessing_goes_on(method: str, inside: list[Any]) -> None:
    """Also a spawned one, which inherits no context."""
    queue = multiprocessing.get_context(method).Queue()
    child = multiprocessing.get_context(method).Process(target=in_child(put), args=(queue,))
    child.start()
    found = queue.get(timeout=60)
    child.join(60)
    assert found == inside


def test_where_nothing_is_current_nothing_goes_along() -> None:
    """What an outer process had written is not this one's."""
    told = child_environment({"PATH": "/bin", **dict.fromkeys(ALL, "stale")})
    assert told == {"PATH": "/bin"}
    with trace.get_tracer("test").start_as_current_span("here"):
        before = whereabouts()
        with continue_trace({}):
            assert whereabouts() == before
        # A pool's process was forked in another span: that is not the call's.
        assert in_child(whereabouts)() == before


def test_a_pools_process_forgets_what_it_was_forked_in() -> None:
    """A function that was handed over outside of any trace runs outside of any."""
    function = in_child(whereabouts)
    with trace.get_tracer("test").start_as_current_span("at the fork"):
        assert function() == [0, 0, {}, None]


@pytest.mark.parametrize("value", ["", "garbage", "{", "00-0-0-00"])
def test_garbage_costs_the_trace_not_the_block(value: str) -> None:
    """Variables may come from anybody; the block runs, and its errors are its own."""
    ran: list[object] = []

    def block() -> None:
        with continue_trace(dict.fromkeys(ALL, value)):
            ran.append(current_run())
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        block()
    assert (ran, whereabouts()) == ([None], [0, 0, {}, None])


def test_without_propagators_nothing_but_the_run_goes_along(inside: list[Any]) -> None:
    """`OTEL_PROPAGATORS=none` holds for processes too."""
    propagation.install(["none"])
    assert set(child_environment({})) == {"ETL_PIPELINE_RUN"}
