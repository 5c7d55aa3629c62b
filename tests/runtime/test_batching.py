"""Batches: order, bounds, counts, deadlines, and use from places where locks are dangerous."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from etl_telemetry import guard
from etl_telemetry.runtime.batching import Batcher, BatchLimits


@pytest.fixture(autouse=True)
def _fresh_counts() -> Iterator[None]:
    guard.reset_after_fork()
    yield
    guard.reset_after_fork()


def _batcher(
    export: Callable[[list[int]], bool], *, queue_size: int = 2_048, batch_size: int = 512
) -> Batcher[int]:
    limits = BatchLimits(queue_size=queue_size, batch_size=batch_size, delay=60)
    batcher = Batcher(signal="spans", export=export, limits=limits)
    batcher.start()
    return batcher


def test_flush_delivers_everything_in_order_and_in_batches() -> None:
    """What waits arrives once, in order, in batches of the size asked for."""
    batches: list[list[int]] = []
    batcher = _batcher(lambda batch: batches.append(batch) is None, batch_size=3)
    for item in range(8):
        batcher.add(item)
    assert batcher.flush().wait(time.monotonic() + 10)
    assert [item for batch in batches for item in batch] == list(range(8))
    assert max(map(len, batches)) <= 3
    assert guard.drops() == {}


def test_a_full_queue_drops_the_oldest_and_counts_each() -> None:
    """What does not fit is the oldest, and its number is known."""
    hold, got = threading.Event(), []

    def export(batch: list[int]) -> bool:
        hold.wait(10)
        got.extend(batch)
        return True

    batcher = _batcher(export, queue_size=4, batch_size=2)
    batcher.add(-1)
    batcher.add(-2)  # A batch: the worker takes it and is held.
    deadline = time.monotonic() + 10
    while batcher._queue and time.monotonic() < deadline:
        time.sleep(0.01)
    for item in range(7):
        batcher.add(item)
    hold.set()
    assert batcher.flush().wait(time.monotonic() + 10)
    assert got == [-1, -2, 3, 4, 5, 6]
    assert guard.drops() == {"queue_full": 3}


def test_what_the_receiver_refused_is_counted_and_flush_says_so() -> None:
    """A flush is true only when the receiver took everything."""
    batcher = _batcher(lambda batch: False)
    batcher.add(1)
    batcher.add(2)
    assert not batcher.flush().wait(time.monotonic() + 10)
    assert guard.drops() == {"not_delivered": 2}


def test_an_exporter_that_raises_loses_its_batch_only() -> None:
    """An error in the exporter is counted; the next batch goes out."""
    got: list[int] = []

    def export(batch: list[int]) -> bool:
        if 1 in batch:
            raise OSError("broken pipe")
        got.extend(batch)
        return True

    batcher = _batcher(export)
    batcher.add(1)
    assert not batcher.flush().wait(time.monotonic() + 10)
    batcher.add(2)
    assert batcher.flush().wait(time.monotonic() + 10)
    assert got == [2]
    assert guard.drops() == {"internal_error": 1, "not_delivered": 1}


def test_close_gives_up_at_the_deadline_and_counts_what_is_left() -> None:
    """A receiver that hangs costs the deadline, no more, and the loss is known."""
    hang = threading.Event()
    batcher = _batcher(lambda batch: hang.wait(30))
    for item in range(3):
        batcher.add(item)
    assert not batcher.close().wait(time.monotonic() + 0.2)
    assert batcher.abandon() == 3
    assert guard.drops() == {"not_delivered": 3}
    batcher.add(4)
    assert guard.drops() == {"not_delivered": 4}
    hang.set()


def test_adding_from_a_destructor_during_an_add_does_not_deadlock() -> None:
    """A span that the garbage collector ends while another one ends goes out too (trap 4)."""
    got: list[int] = []
    ended: list[int] = []
    batcher = _batcher(lambda batch: got.extend(batch) is None, batch_size=2)

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            batcher.add(-1)
            ended.append(1)

    def work() -> None:
        old = gc.get_threshold()
        gc.set_threshold(1)
        try:
            for item in range(300):
                Cycle()
                batcher.add(item)
        finally:
            gc.set_threshold(*old)
        while len(ended) < 300:  # Nothing is collected while another thread collects.
            gc.collect()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert batcher.flush().wait(time.monotonic() + 10)
    assert sorted(got) == [-1] * 300 + list(range(300))


def test_closing_during_an_export_of_its_own_accord_answers() -> None:
    """A thread that finds itself closed after an export still answers who waits for the end."""
    exporting, closed = threading.Event(), threading.Event()

    def export(batch: list[int]) -> bool:
        exporting.set()
        return closed.wait(30)

    # The short delay, not the close, begins the export.
    limits = BatchLimits(queue_size=10, batch_size=5, delay=0.01)
    batcher: Batcher[int] = Batcher(signal="spans", export=export, limits=limits)
    batcher.start()
    batcher.add(1)
    assert exporting.wait(30)
    pending = batcher.close()
    closed.set()
    assert pending.wait(time.monotonic() + 30)


def test_a_full_queue_keeps_one_wake_up_at_most() -> None:
    """A receiver that hangs while the application goes on must not fill the memory."""
    hang = threading.Event()
    batcher = _batcher(lambda batch: hang.wait(30), queue_size=4, batch_size=2)
    for item in range(1_000):
        batcher.add(item)
    assert batcher._wake.qsize() <= 1
    hang.set()


def test_a_flush_is_answered_while_items_keep_coming() -> None:
    """A queue that is never empty: the flush is for what was there when it was asked."""
    stop = threading.Event()

    def export(batch: list[int]) -> bool:
        if not stop.is_set():
            batcher.add(0)  # Always one more.
        return True

    batcher = _batcher(export, batch_size=1)
    batcher.add(0)
    answered = batcher.flush().wait(time.monotonic() + 10)
    stop.set()
    assert answered


def test_what_was_given_up_is_not_counted_again_when_it_fails() -> None:
    """An export that fails after the deadline is one loss, not two."""
    exporting, hang, failed = threading.Event(), threading.Event(), threading.Event()

    def export(batch: list[int]) -> bool:
        exporting.set()
        hang.wait(30)
        failed.set()
        return False

    batcher = _batcher(export)
    batcher.add(1)
    batcher.flush()
    assert exporting.wait(30)
    batcher.close()
    assert batcher.abandon() == 1
    hang.set()
    batcher._thread.join(30)
    assert (failed.is_set(), guard.drops()) == (True, {"not_delivered": 1})
