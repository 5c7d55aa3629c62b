"""The guard: what goes wrong is swallowed, counted, and logged once with the caller's line."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from inspect import currentframe

import pytest

from etl_telemetry import guard, values
from etl_telemetry.catalogue import DropReason


@pytest.fixture(autouse=True)
def _fresh_counts() -> Iterator[None]:
    guard.reset_after_fork()
    yield
    guard.reset_after_fork()


def test_absorb_swallows_and_counts_every_error_but_logs_each_kind_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three errors of one kind in one place: three counted, one line."""
    for _ in range(3):
        with guard.absorb("a test"):
            raise ValueError("inside")
    assert guard.drops() == {"internal_error": 3}
    assert [(r.getMessage(), r.where, r.error_type) for r in caplog.records] == [
        ("telemetry_internal_error", "a test", "ValueError")
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_absorb_lets_pass_what_is_no_error(error: type[BaseException]) -> None:
    """The ways to end a program are not ours to swallow."""
    with pytest.raises(error), guard.absorb("a test"):
        raise error
    assert guard.drops() == {}


def test_errors_that_a_signal_raises_into_any_code_pass() -> None:
    """A soft time limit that strikes inside our code still ends the application's task."""

    class TimeLimitError(Exception):
        """As Celery's `SoftTimeLimitExceeded`."""

    guard.let_pass(TimeLimitError)
    with pytest.raises(TimeLimitError), guard.absorb("a test"):
        raise TimeLimitError

    def read() -> None:
        raise TimeLimitError

    with pytest.raises(TimeLimitError):
        guard.attempt(read, None)
    assert guard.drops() == {}


def test_drop_names_the_line_of_the_application(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells where the application handed the value over, not where we found it."""
    frame = currentframe()
    assert frame is not None
    values.text("x" * 10, limit=5)
    line = frame.f_lineno - 1
    assert [(r.getMessage(), r.reason, r.detail, r.caller) for r in caplog.records] == [
        ("telemetry_dropped", "truncated", "text longer than 5 characters was cut",
         f"{__file__}:{line}")
    ]  # fmt: skip


def test_drop_counts_every_time_and_logs_once_for_each_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A loop over bad values writes one line, and counts all."""
    for _ in range(5):
        guard.drop(DropReason.INVALID_VALUE, detail="in a loop", count=2)
    guard.drop(DropReason.INVALID_VALUE, detail="on another line")
    assert guard.drops() == {"invalid_value": 11}
    assert [r.detail for r in caplog.records] == ["in a loop", "on another line"]


def test_a_log_handler_that_drops_something_itself_does_not_block() -> None:
    """The guard can be used while it logs."""

    class Recursive(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            guard.drop(DropReason.TRUNCATED, detail="while logging")

    handler = Recursive()
    logger = logging.getLogger("etl_telemetry")
    logger.addHandler(handler)
    try:
        thread = threading.Thread(
            target=guard.drop, args=("invalid_value",), kwargs={"detail": "x"}, daemon=True
        )
        thread.start()
        thread.join(10)
    finally:
        logger.removeHandler(handler)
    assert not thread.is_alive()
    assert guard.drops() == {"invalid_value": 1, "truncated": 2}


def test_places_that_were_logged_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """An endless number of places neither fills the memory nor the log."""
    for number in range(1_100):
        with guard.absorb(f"place {number}"):
            raise ValueError
    assert guard.drops() == {"internal_error": 1_100}
    assert len(caplog.records) == 1_000


def test_a_forked_child_begins_at_zero() -> None:
    """What the parent dropped is the parent's to report."""
    guard.drop(DropReason.TRUNCATED, detail="in the parent")
    pid = os.fork()
    if pid == 0:
        os._exit(0 if guard.drops() == {} else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_lock_that_the_parent_held_at_the_fork_does_not_stop_the_child() -> None:
    """A child may drop things before, and without, any `setup_telemetry()` (trap 1)."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with guard._ledger.lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)  # A child that hangs is killed.
        logging.disable()
        guard.drop(DropReason.TRUNCATED, detail="in the child")
        os._exit(0 if guard.drops() == {"truncated": 1} else 1)
    release.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0


def test_a_filter_of_the_host_that_fails_on_our_records_stays_here() -> None:
    """`logging` catches what handlers raise, not what their filters do."""

    class OfAnotherRecord(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return bool(record.tenant)

    handler = logging.StreamHandler()
    handler.addFilter(OfAnotherRecord())
    logging.getLogger().addHandler(handler)
    try:
        with guard.absorb("a test"):
            raise ValueError
        guard.drop(DropReason.TRUNCATED, detail="a test")
    finally:
        logging.getLogger().removeHandler(handler)
    assert guard.drops() == {"internal_error": 1, "truncated": 1}
