"""SIGTERM and SIGINT set an event, wherever the main thread is at that moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from etl_telemetry.stopping import SIGNALS, told_to_stop

SCRIPT = """
import contextlib, os, signal, sys, threading
from etl_telemetry.stopping import told_to_stop
LINES = range(1, 12)
@contextlib.contextmanager
def by_hand():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    yield stop
def wait(told, line):
    '''Be told to stop at a line of `Event.wait`, counted from its begin.'''
    def trace(frame, event, _):
        if frame.f_code is not threading.Event.wait.__code__:
            return None
        nonlocal seen
        seen += event == "line"
        if event == "line" and seen == line:
            signal.raise_signal(signal.SIGTERM)
        return trace
    seen = 0
    with told() as stop:
        stop.is_set()
        sys.settrace(trace)
        stop.wait(0.01)
        sys.settrace(None)
        return seen >= line
def hangs(*_):
    print("hangs", flush=True)
    os._exit(0)
signal.signal(signal.SIGALRM, hangs)
told = by_hand if sys.argv[1] == "by hand" else told_to_stop
lines = 0
for line in LINES:
    signal.alarm(int(sys.argv[2]))
    lines += wait(told, line)
print("ends after", lines, "lines")
"""


def outcome(told: str, seconds: int) -> str:
    """Return what becomes of a process that is told to stop at each line of `Event.wait`."""
    command = [sys.executable, "-c", SCRIPT, told, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.strip()


def test_a_handler_that_sets_the_event_itself_hangs() -> None:
    """The trap: within `Event.wait` the main thread has the lock that `Event.set` wants."""
    assert outcome("by hand", 2) == "hangs"


def test_no_place_of_the_wait_makes_it_hang() -> None:
    """The signal comes at each line of `Event.wait` in turn, of which there are several."""
    lines = int(outcome("ours", 120).removeprefix("ends after ").removesuffix(" lines"))
    assert lines >= 3


@pytest.mark.parametrize("second_ends", [False, True])
@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_come_back(number: signal.Signals, *, second_ends: bool) -> None:
    """After the block, or where that is wanted at the first signal."""
    before = [signal.getsignal(each) for each in SIGNALS]
    with told_to_stop(second_ends=second_ends) as stop:
        ours = [signal.getsignal(each) for each in SIGNALS]
        assert not set(ours) & set(before)
        signal.raise_signal(number)
        assert stop.wait(60)
        assert [signal.getsignal(each) for each in SIGNALS] == (before if second_ends else ours)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_its_thread_ends_with_the_block() -> None:
    """Whether there was a signal or not."""
    with told_to_stop() as stop:
        (thread,) = (each for each in threading.enumerate() if each.name == "etl-telemetry-stop")
        assert not stop.is_set()
    thread.join(60)
    assert not thread.is_alive()
