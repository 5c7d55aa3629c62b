"""The board: what is told, by whom, and for how long."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from etl_telemetry import guard
from etl_telemetry.catalogue import (
    ACTIVE_PIPELINE_RUNS,
    DROPS,
    PIPELINE_EXECUTION_DURATION,
    QUEUE_NAME,
    QUEUE_SIZE,
    REASON,
)
from etl_telemetry.observer import Board, Reading
from etl_telemetry.observer import board as the_board
from support.telemetry import Labels, Telemetry, labels, telemetry

DAILY, SLOW = labels({"queue.name": "daily"}), labels({"queue.name": "slow"})


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def seen() -> Iterator[Telemetry]:
    """Begin and end without telemetry and drops."""
    guard.reset_after_fork()
    yield telemetry()
    guard.reset_after_fork()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the board's clock."""
    made = Clock()
    monkeypatch.setattr("etl_telemetry.observer.posting.time", made)
    return made


@pytest.fixture
def board(clock: Clock) -> Iterator[Board]:
    """Give the board of this process, which leads, and is silent in the end."""
    the_board.lead(math.inf)
    yield the_board
    the_board.withdraw()


def told(seen: Telemetry) -> dict[str, dict[Labels, float]]:
    """Return what is exported now, without the count of readings."""
    values = seen.values()
    values.pop("observer.readings", None)
    return values


def size(queue: str, number: float) -> Reading:
    """Return a reading."""
    return Reading(QUEUE_SIZE, number, {QUEUE_NAME: queue})


def test_readings_become_gauges(seen: Telemetry, board: Board) -> None:
    """Each with its labels; what a source says next replaces all that it said."""
    board.post("queues", [size("daily", 3), size("slow", 0)])
    board.post("runs", [Reading(ACTIVE_PIPELINE_RUNS, 2)])
    assert told(seen) == {
        "celery.queue.size": {DAILY: 3, SLOW: 0},
        "active_pipeline_runs": {(): 2},
    }
    board.post("queues", [size("slow", 1)])
    assert told(seen) == {"celery.queue.size": {SLOW: 1}, "active_pipeline_runs": {(): 2}}


def test_readings_of_counters_are_added(seen: Telemetry, board: Board) -> None:
    """Each reading adds; reading again what did not happen adds nothing."""
    board.post("drops", [Reading(DROPS, 2, {REASON: "x"}), Reading(DROPS, 1, {REASON: "x"})])
    board.post("drops", [])
    assert told(seen) == {"telemetry.drops": {labels({"reason": "x"}): 3}}


def test_readings_are_counted(seen: Telemetry, board: Board) -> None:
    """By source, and by whether it could be read."""
    board.post("queues", [])
    board.post("queues", [size("daily", 1)])
    board.end("queues")
    assert seen.values()["observer.readings"] == {
        labels({"observer.source": "queues", "status": "success"}): 2,
        labels({"observer.source": "queues", "status": "error"}): 1,
    }


def test_an_ended_source_tells_nothing(seen: Telemetry, board: Board) -> None:
    """The others go on."""
    board.post("queues", [size("daily", 3)])
    board.post("runs", [Reading(ACTIVE_PIPELINE_RUNS, 2)])
    board.end("queues")
    assert told(seen) == {"active_pipeline_runs": {(): 2}}


def test_sources_post_at_the_same_time(seen: Telemetry, board: Board) -> None:
    """Each from its thread; none takes away what another one has posted."""
    names = [f"source {number}" for number in range(8)]

    def work(name: str) -> None:
        for _ in range(200):
            board.end(name)
            board.post(name, [size(name, 1)])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(work, names))
    finally:
        sys.setswitchinterval(before)
    assert told(seen) == {"celery.queue.size": {labels({"queue.name": name}): 1 for name in names}}


def test_readings_get_too_old(seen: Telemetry, board: Board, clock: Clock) -> None:
    """A source that hangs cannot end its series itself."""
    board.post("queues", [size("daily", 3)], until=clock.now + 25)
    clock.now += 24
    assert told(seen) == {"celery.queue.size": {DAILY: 3}}
    clock.now += 1
    assert told(seen) == {}


def test_without_the_lead_nothing_is_told(seen: Telemetry, board: Board, clock: Clock) -> None:
    """The lead ends at its time, also where nobody was able to say so."""
    board.post("queues", [size("daily", 3)])
    board.lead(clock.now + 10)
    clock.now += 10
    assert (board.leads, board.handed_over, told(seen)) == (False, False, {})
    board.lead(clock.now + 10)
    assert told(seen) == {"celery.queue.size": {DAILY: 3}}
    board.withdraw()
    assert (board.leads, board.handed_over, told(seen)) == (False, True, {})


def test_a_forked_child_does_not_lead(board: Board) -> None:
    """It inherits the callbacks, and would be a second reporter."""
    read, write = os.pipe()
    if not (child := os.fork()):
        os.write(write, b"leads" if board.leads else b"does not")
        os._exit(0)
    os.waitpid(child, 0)
    assert (board.leads, os.read(read, 100)) == (True, b"does not")
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    "wrong",
    [
        Reading(QUEUE_SIZE, 1),
        Reading(QUEUE_SIZE, 1, {QUEUE_NAME: "a", "status": "b"}),
        Reading(QUEUE_SIZE, math.nan, {QUEUE_NAME: "a"}),
        Reading(QUEUE_SIZE, math.inf, {QUEUE_NAME: "a"}),
        Reading(QUEUE_SIZE, bool(1), {QUEUE_NAME: "a"}),
        Reading(QUEUE_SIZE, "many", {QUEUE_NAME: "a"}),  # type: ignore[arg-type]
        Reading(DROPS, -1, {REASON: "x"}),
        Reading(PIPELINE_EXECUTION_DURATION, 1),
        "no reading",
    ],
    ids=repr,
)
def test_a_wrong_reading_is_left_out(seen: Telemetry, board: Board, wrong: Reading) -> None:
    """It is counted, and the others are told."""
    board.post("queues", [wrong, size("daily", 3)])
    assert told(seen) == {"celery.queue.size": {DAILY: 3}}
    assert guard.drops() == {"invalid_value": 1}


def test_labels_are_bounded_in_each_reading(
    seen: Telemetry, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much is left out; a name that has gone makes room for another one."""
    monkeypatch.setattr("etl_telemetry.observer.posting.limit_of", lambda attribute: 2)
    board.post("queues", [size(name, 1) for name in ("daily", "slow", "third", "daily")])
    assert told(seen) == {"celery.queue.size": {DAILY: 1, SLOW: 1}}
    assert guard.drops() == {"label_overflow": 1}
    board.post("queues", [size("third", 1)])
    assert told(seen) == {"celery.queue.size": {labels({"queue.name": "third"}): 1}}


def test_what_is_known_has_a_time_when_every_other_source_was_heard() -> None:
    """Half of it has none; a source that failed, or is given up, is waited for no longer."""
    board = Board()
    board.expect(["queues", "servers", "hanging", "page"])
    board.post("queues", [Reading(QUEUE_SIZE, 1, {QUEUE_NAME: "daily"})])
    assert board.posted_at(besides="page") is None
    board.lead(math.inf)
    assert board.posted_at(besides="page") is None
    board.end("servers")
    assert board.posted_at(besides="page") is None
    board.give_up("hanging")
    assert board.posted_at(besides="page") is not None
    assert board.posted_at(besides="queues") is None
    board.withdraw()
    board.lead(math.inf)
    assert board.posted_at(besides="page") is None
