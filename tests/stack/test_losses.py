"""Nothing is lost: kills and outages, with an application that knows what it emitted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from support.stack import Engine, Stack, eventually
from support.stack.emitter import Arrived, Emitted, Emitter

ROUNDS = 300
"""Rounds between two events: several exports of each signal."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start one stack for this file."""
    with Stack(tmp_path_factory.mktemp("losses")) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """Give the stack with all of its engines up."""
    for engine in running.engines:
        if not engine.is_alive:
            engine.start()
    return running


def everything(emitted: Emitted) -> Arrived:
    """Return what the backends have when each span, record and count is there once."""
    once = Counter(range(emitted.rounds))
    return Arrived(once, once, emitted.rounds)


def end_and_compare(emitter: Emitter, stack: Stack) -> None:
    """End it; everything that it emitted is there, or it is shown what is not."""
    emitted = emitter.end()
    stack.settle()
    expected = everything(emitted)
    with suppress(TimeoutError):
        eventually("all of it", lambda: emitter.arrived(stack) == expected, timeout=30)
    assert (emitter.arrived(stack), emitted.drops) == (expected, {})


def test_collector_killed_during_traffic_loses_nothing(stack: Stack) -> None:
    """Three kills with SIGKILL: what was answered is on the disk, the rest is sent again."""
    with Emitter(stack.collector.otlp_http) as emitter:
        for _ in range(3):
            emitter.go_on(ROUNDS)
            stack.collector.kill()
            stack.collector.start()
        emitter.go_on(ROUNDS)
        end_and_compare(emitter, stack)


@pytest.mark.parametrize("name", ["prometheus", "elasticsearch", "jaeger"])
def test_backend_that_was_away_gets_everything_afterwards(name: str, stack: Stack) -> None:
    """All that waits is on the disk: the Collector is killed meanwhile, and holds nothing."""
    backend: Engine = getattr(stack, name)
    backend.stop()
    with Emitter(stack.collector.otlp_http) as emitter:
        emitter.go_on(ROUNDS)
        eventually("something waits", lambda: stack.collector.waiting() > 0)
        stack.collector.kill()
        stack.collector.start()
        emitter.go_on(ROUNDS)
        backend.start()
        emitter.go_on(ROUNDS)
        end_and_compare(emitter, stack)


def test_collector_away_for_longer_than_the_application_tries_is_counted(stack: Stack) -> None:
    """What is dropped then is counted by the application, item by item."""
    with Emitter(stack.collector.otlp_http, OTEL_METRICS_EXPORTER="none") as emitter:
        emitter.go_on(ROUNDS)
        stack.collector.stop()
        began = time.monotonic()
        eventually("it is away for 20 s", lambda: time.monotonic() - began > 20)
        stack.collector.start()
        emitter.go_on(ROUNDS)
        emitted = emitter.end()
        stack.settle()
        found = emitter.arrived(stack)
    assert max(found.records.values()) == 1
    lost = 2 * emitted.rounds - found.spans.total() - found.records.total()
    assert emitted.drops == {"not_delivered": lost}
    assert lost > 0
