"""What a person sees while a build takes minutes."""

from __future__ import annotations

import io
import os

import pytest

from support.engines.progress import Progress


class Clock:
    """Time that passes when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_log_gets_a_line_at_once_and_then_one_in_30_seconds() -> None:
    """A CI's log stays readable, and nobody takes the build for dead."""
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream=stream, clock=clock)

    progress.begin("collector 3/3 compile")
    for second in range(65):
        clock.now = 100.0 + second
        progress.tick(f"package {second}")

    assert stream.getvalue() == (
        "collector 3/3 compile  0 s\n"
        "collector 3/3 compile  30 s  package 30\n"
        "collector 3/3 compile  60 s  package 60\n"
    )


def test_terminal_has_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never wraps, and what is said afterwards replaces it."""
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 20)))
    stream, clock = Terminal(), Clock()
    progress = Progress(stream=stream, clock=clock)

    progress.begin("jaeger 1/1 compile")
    clock.now += 0.4
    progress.tick("too soon")
    clock.now += 1
    progress.tick("github.com/jaegertracing/jaeger")
    progress.say("jaeger 2.13.0: built")

    clear = "\r\033[K"
    assert stream.getvalue() == (
        f"{clear}jaeger 1/1 compile  0 s"
        f"{clear}jaeger 1/1 compile  1 s  github.com/jae"
        f"{clear}jaeger 2.13.0: built\n"
    )


def test_next_step_is_told_at_once() -> None:
    """Short steps show up too, each with its own seconds."""
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream=stream, clock=clock)

    progress.begin("kafka 1/2 package")
    clock.now += 2
    progress.begin("kafka 2/2 verify")

    assert stream.getvalue() == "kafka 1/2 package  0 s\nkafka 2/2 verify  0 s\n"
