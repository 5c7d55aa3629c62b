"""One block's object in many threads: each ends what is its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from opentelemetry import context as context_api

from etl_telemetry.pipelines import (
    begin_run,
    connector_operation,
    current_run,
    pipeline_run,
    step,
)
from etl_telemetry.tracing import span
from support.telemetry import Telemetry

Block = AbstractContextManager[Any]


def _first_in_first_out(block: Block, inside: Callable[[int, Any], object]) -> list[object]:
    """Enter the block in two threads, and leave it in the order of entry, not the opposite."""
    entered, left = [threading.Event(), threading.Event()], threading.Event()
    answers: list[object] = []

    def work(number: int) -> None:
        before = context_api.get_current()
        if number == 1:
            assert entered[0].wait(30)
        with block as made:
            entered[number].set()
            assert (entered[1] if number == 0 else left).wait(30)
            answers.append(inside(number, made))
        if number == 0:
            left.set()
        answers.append(context_api.get_current() == before)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


@pytest.mark.parametrize(
    "make",
    [
        lambda: pipeline_run("daily", organization="acme"),
        lambda: begin_run("daily", organization="acme"),
        lambda: step("load"),
        lambda: connector_operation("http", "fetch"),
        lambda: span("a block"),
    ],
    ids=["pipeline_run", "begin_run", "step", "connector_operation", "span"],
)
def test_nothing_stays_current_in_a_thread_that_left_the_block(
    make: Callable[[], Block], seen: Telemetry
) -> None:
    """A context that leaks makes all that the thread does later a part of somebody's run."""
    assert _first_in_first_out(make(), lambda number, made: None) == [None, True] * 2


def test_each_thread_ends_its_own_run(seen: Telemetry) -> None:
    """Status and attributes are those of the run that the thread was in."""
    block = pipeline_run("daily", organization="acme")

    def inside(number: int, run: Any) -> object:
        run.set_attribute("number", number)
        run.set_status("success" if number == 0 else "cancelled")
        return current_run() is run

    assert _first_in_first_out(block, inside) == [True] * 4
    assert [
        (one.attributes["number"], one.attributes["pipeline.status"])
        for one in seen.spans()
        if one.attributes
    ] == [(0, "success"), (1, "cancelled")]


@pytest.mark.parametrize("make", [pipeline_run, begin_run])
def test_leaving_what_was_never_entered_does_nothing(
    make: Callable[..., Block], seen: Telemetry
) -> None:
    """Some code that calls `__exit__` itself does so twice."""
    make("daily", organization="acme").__exit__(None, None, None)
    assert seen.spans() == ()
