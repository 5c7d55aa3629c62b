"""The observer's loop: who reports, what failed, what hangs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from etl_telemetry.catalogue import ACTIVE_PIPELINE_RUNS
from etl_telemetry.observer import Alone, Board, Observer, Reading, Source, UnreadableError, loop
from etl_telemetry.observer import board as the_board
from support.events import Event, kept
from support.telemetry import Telemetry, telemetry

PATIENCE = 60.0


class Switch:
    """A lead that a test gives and takes; an error is raised."""

    def __init__(self, *, held: bool = True, ttl: float = math.inf) -> None:
        self.answer: bool | Exception = held
        self.ttl = ttl
        self.released = 0

    def hold(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def release(self) -> None:
        self.released += 1


class Truth:
    """A source whose answer a test changes."""

    def __init__(self) -> None:
        self.answer: float | Exception = 1
        self.reads = 0
        self.free = threading.Event()
        self.free.set()

    def read(self) -> list[Reading]:
        self.reads += 1
        self.free.wait(PATIENCE)
        if isinstance(self.answer, Exception):
            raise self.answer
        return [Reading(ACTIVE_PIPELINE_RUNS, self.answer)]

    def source(self, timeout: float = PATIENCE) -> Source:
        return Source("runs", self.read, interval=0.02, timeout=timeout)


@pytest.fixture
def board() -> Iterator[Board]:
    """Give the board of this process, which is silent in the end."""
    yield the_board
    the_board.withdraw()


@pytest.fixture
def seen() -> Telemetry:
    """Give the telemetry of this process, empty."""
    return telemetry()


@contextmanager
def running(observer: Observer) -> Iterator[None]:
    """Run an observer while the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=observer.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def value(seen: Telemetry) -> float | None:
    """Return the gauge as it is exported now."""
    return seen.values().get("active_pipeline_runs", {}).get(())


def test_a_source_is_read_again_and_again(seen: Telemetry, board: Board) -> None:
    """The gauge follows the truth."""
    truth = Truth()
    with running(Observer([truth.source()], lead=Alone(), pause=0.01)):
        wait_for(lambda: value(seen) == 1)
        truth.answer = 2
        wait_for(lambda: value(seen) == 2)


def test_a_failing_source_ends_and_says_why_once(seen: Telemetry, board: Board) -> None:
    """Its reason without secrets; one record until it can be read again, one record then."""
    truth = Truth()
    with kept() as events, running(Observer([truth.source()], lead=Alone(), pause=0.01)):
        wait_for(lambda: value(seen) == 1)
        truth.answer = OSError("no route to redis://user:secret@broker:6379/0")
        wait_for(lambda: value(seen) is None)
        before = truth.reads
        wait_for(lambda: truth.reads > before + 3)
        truth.answer = 3
        wait_for(lambda: value(seen) == 3)
    failed = {
        "observer.source": "runs",
        "reason": "OSError: no route to redis://REDACTED:REDACTED@broker:6379/0",
    }
    assert events == [
        Event("observer_leads", "INFO", {}),
        Event("observer_source_failed", "WARNING", failed),
        Event("observer_source_recovered", "INFO", {"observer.source": "runs"}),
    ]


def test_unreadable_is_the_reason_itself(board: Board) -> None:
    """A source that knows why it cannot be read says it in its own words."""
    truth = Truth()
    truth.answer = UnreadableError("the broker refuses the connection")
    with kept() as events:
        assert Observer([truth.source()], lead=Alone()).once()
    assert [event.fields.get("reason") for event in events] == [
        None,
        "the broker refuses the connection",
    ]


def test_a_source_that_hangs_ends_alone(seen: Telemetry, board: Board) -> None:
    """Its series end after its timeout with a reason; the others are read on; it may come back."""
    truth, other = Truth(), Truth()
    sources = [truth.source(timeout=0.2), Source("other", other.read, interval=0.02)]
    with kept() as events, running(Observer(sources, lead=Alone(), pause=0.01)):
        wait_for(lambda: truth.reads > 1)
        other.answer = []  # type: ignore[assignment] - it has nothing to say
        truth.free.clear()
        wait_for(lambda: len(events) > 1 and value(seen) is None)
        before = other.reads
        wait_for(lambda: other.reads > before)
        truth.free.set()
        wait_for(lambda: value(seen) == 1)
    hung = {"observer.source": "runs", "reason": "no answer within 0.2 s"}
    assert Event("observer_source_failed", "WARNING", hung) in events
    assert Event("observer_source_recovered", "INFO", {"observer.source": "runs"}) in events


def test_the_second_one_waits_and_takes_over(seen: Telemetry, board: Board) -> None:
    """It reads nothing and reports nothing before."""
    truth, lead = Truth(), Switch(held=False)
    with kept() as events, running(Observer([truth.source()], lead=lead, pause=0.01)):
        wait_for(lambda: events)
        assert (truth.reads, value(seen)) == (0, None)
        lead.answer = True
        wait_for(lambda: value(seen) == 1)
        lead.answer = False
        wait_for(lambda: value(seen) is None)
    names = [event.name for event in events]
    assert names == ["observer_waits", "observer_leads", "observer_waits"]


def test_who_cannot_ask_reports_until_the_lead_may_be_gone(seen: Telemetry, board: Board) -> None:
    """Then its series end: another one may report them, or nobody."""
    truth, lead = Truth(), Switch(ttl=1.0)
    with kept() as events, running(Observer([truth.source()], lead=lead, pause=0.01)):
        wait_for(lambda: value(seen) == 1)
        lead.answer = OSError("the database is away")
        wait_for(lambda: value(seen) is None and events[-1].name == "observer_waits")
        assert not board.handed_over
        lead.answer = True
        wait_for(lambda: value(seen) == 1)
    assert events == [
        Event("observer_leads", "INFO", {}),
        Event("observer_lead_failed", "WARNING", {"reason": "OSError: the database is away"}),
        Event("observer_waits", "INFO", {}),
        Event("observer_leads", "INFO", {}),
    ]


def test_the_lead_is_kept_until_it_is_released(seen: Telemetry, board: Board) -> None:
    """Between the two the last export goes out."""
    truth, lead = Truth(), Switch()
    observer = Observer([truth.source()], lead=lead, pause=0.01)
    with running(observer):
        wait_for(lambda: value(seen) == 1)
    assert (value(seen), lead.released) == (1, 0)
    observer.release()
    assert (value(seen), board.handed_over, lead.released) == (None, True, 1)


def test_once_reads_each_source(seen: Telemetry, board: Board) -> None:
    """One after the other, and says whether it is the one that reports."""
    assert Observer([Truth().source()], lead=Alone()).once() is True
    assert value(seen) == 1
    truth = Truth()
    assert Observer([truth.source()], lead=Switch(held=False)).once() is False
    assert (truth.reads, value(seen)) == (0, None)


def test_once_waits_for_nobody_longer_than_it_may_take(seen: Telemetry, board: Board) -> None:
    """What hangs is told as a failure, and the others are read."""
    hanging, other = Truth(), Truth()
    hanging.free.clear()
    sources = [hanging.source(timeout=0.1), Source("other", other.read)]
    with kept() as events:
        assert Observer(sources, lead=Alone()).once() is True
        hanging.free.set()
    hung = {"observer.source": "runs", "reason": "no answer within 0.1 s"}
    assert Event("observer_source_failed", "WARNING", hung) in events
    assert (other.reads, value(seen)) == (1, 1)


def test_a_source_ends_after_its_reading_and_is_not_read_again(board: Board) -> None:
    """What it reads then would be told by a process whose telemetry has ended."""
    done: list[str] = []
    began, go_on = threading.Event(), threading.Event()

    def read() -> list[Reading]:
        began.set()
        assert go_on.wait(PATIENCE)
        done.append("read")
        return []

    source = Source("slow", read, interval=0.0, close=lambda: done.append("closed"))
    observer = Observer([source], lead=Alone(), pause=0.01)
    with running(observer):
        assert began.wait(PATIENCE)
        closing = threading.Thread(target=observer.release)
        closing.start()
        assert done == []
        go_on.set()
        closing.join(PATIENCE)
        assert done == ["read", "closed"]
        time.sleep(0.1)  # Many intervals.
    assert done == ["read", "closed"]


def test_what_hangs_is_not_closed_and_holds_nobody(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is what was never read: this observer has told nothing of it."""
    monkeypatch.setattr(loop, "LAST_ROUND", 0.05)
    closed: list[str] = []
    hanging = Truth()
    hanging.free.clear()
    observer = Observer(
        [Source("hangs", hanging.read, timeout=0.05, close=lambda: closed.append("hangs"))],
        lead=Alone(),
    )
    assert observer.once()
    observer.release()
    hanging.free.set()
    waiting = Observer(
        [Source("waits", Truth().read, close=lambda: closed.append("waits"))],
        lead=Switch(held=False),
    )
    assert not waiting.once()
    waiting.release()
    assert closed == []


def test_sources_are_closed_while_the_lead_is_still_held(seen: Telemetry, board: Board) -> None:
    """What they tell at their end is this observer's; one that fails keeps no other from it."""
    closed: list[bool] = []

    def fail() -> None:
        raise RuntimeError("gone")

    truth = Truth()
    sources = [
        Source("broken", truth.read, close=fail),
        truth.source(),
        Source("held", truth.read, close=lambda: closed.append(board.leads)),
    ]
    lead = Switch()
    observer = Observer(sources, lead=lead)
    assert observer.once()
    assert closed == []
    observer.release()
    assert (closed, lead.released, board.leads) == ([True], 1, False)
