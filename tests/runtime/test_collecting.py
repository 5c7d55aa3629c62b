"""Collections: on demand, in time, and measurements made in dangerous places."""

from __future__ import annotations

import threading
import time

from etl_telemetry import guard
from etl_telemetry.runtime.collecting import Collector, Postponed


def test_each_flush_collects_once_and_tells_whether_it_was_delivered() -> None:
    """The answer of a flush is that of its own export."""
    answers = iter([True, False])
    collector = Collector(collect=lambda: next(answers), postponed=Postponed(), interval=60)
    collector.start()
    assert collector.flush().wait(time.monotonic() + 10)
    assert not collector.flush().wait(time.monotonic() + 10)


def test_a_collection_that_fails_does_not_end_the_next_ones() -> None:
    """An error while collecting is counted, and the thread lives on."""
    calls: list[int] = []

    def collect() -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("callback")
        return True

    collector = Collector(collect=collect, postponed=Postponed(), interval=60)
    collector.start()
    assert not collector.flush().wait(time.monotonic() + 10)
    assert collector.flush().wait(time.monotonic() + 10)
    assert len(calls) == 2


def test_the_interval_collects_by_itself() -> None:
    """Nobody has to ask."""
    collected = threading.Event()
    collector = Collector(
        collect=lambda: collected.set() is None, postponed=Postponed(), interval=0.01
    )
    collector.start()
    assert collected.wait(10)
    collector.close().wait(time.monotonic() + 10)


def test_close_collects_once_more_and_ends_the_thread() -> None:
    """The last values go out, and no thread stays."""
    calls: list[int] = []
    collector = Collector(
        collect=lambda: calls.append(1) is None, postponed=Postponed(), interval=60
    )
    collector.start()
    assert collector.close().wait(time.monotonic() + 10)
    collector._thread.join(10)
    assert not collector._thread.is_alive()
    assert calls == [1]


def test_postponed_measurements_are_recorded_before_the_collection() -> None:
    """What a destructor measured inside the SDK is in the next export."""
    order: list[object] = []
    postponed = Postponed()
    postponed.add(lambda value, attributes, context: order.append(value), 5, None, None)
    collector = Collector(
        collect=lambda: order.append("collected") is None, postponed=postponed, interval=60
    )
    collector.start()
    assert collector.flush().wait(time.monotonic() + 10)
    assert order == [5, "collected"]


def test_postponed_measurements_that_find_no_place_are_counted() -> None:
    """A destructor that measures without end neither fills the memory nor loses in silence."""
    guard.reset_after_fork()
    kept: list[object] = []
    postponed = Postponed()
    for number in range(10_003):
        postponed.add(lambda value, attributes, context: kept.append(value), number, None, None)
    assert guard.drops() == {}
    postponed.record()
    assert kept == list(range(3, 10_003))
    assert guard.drops() == {"queue_full": 3}
    guard.reset_after_fork()
