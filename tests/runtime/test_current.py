"""The SDK objects of a process: built once, and not any more once it is closed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from etl_telemetry.config import Config
from etl_telemetry.runtime import lifecycle
from etl_telemetry.runtime.current import Current, Signals
from etl_telemetry.runtime.lifecycle import Lifecycle


def _signals(*shutdowns: Callable[[], None]) -> Signals:
    return Signals(
        traces=None, metrics=None, logs=None, finished=None, spans=None, records=None,
        collector=None, shutdowns=shutdowns,
    )  # fmt: skip


def test_a_build_that_was_interrupted_is_tried_again() -> None:
    """Ctrl-C, or a soft time limit, in the first span of a process costs that span only."""
    made = _signals()
    answers: list[Signals | None] = [None, made]

    def build(forks: int) -> Signals:
        answer = answers.pop(0)
        if answer is None:
            raise KeyboardInterrupt
        return answer

    current = Current(build)
    with pytest.raises(KeyboardInterrupt):
        current.get()
    assert current.get() is made


def test_closing_in_the_middle_of_a_build_ends_what_it_makes() -> None:
    """A signal handler that ends telemetry during the first span: nothing comes to life after."""
    ended: list[str] = []

    def build(forks: int) -> Signals:
        assert current.close(0) is None
        return _signals(lambda: ended.append("exporter"))

    current = Current(build)
    assert current.get() is None
    assert (current.closed, current.signals, ended) == (True, None, ["exporter"])


def test_a_shutdown_waits_for_a_build_in_another_thread() -> None:
    """Else the build would bring to life again what was shut down."""
    building, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def build(forks: int) -> Signals:
        building.set()
        assert go_on.wait(30)
        return _signals(lambda: ended.append("exporter"))

    current = Current(build)
    first_use = threading.Thread(target=current.get)
    first_use.start()
    assert building.wait(30)
    shutdown = threading.Thread(target=current.close, args=(30,))
    shutdown.start()
    while not current.closed:
        pass
    go_on.set()
    first_use.join(30)
    shutdown.join(30)
    assert (current.get(), current.signals, ended) == (None, None, ["exporter"])


class _Hung:
    """A way out that never delivers, and writes down what it is asked."""

    def __init__(self, name: str, asked: list[object]) -> None:
        self._name, self._asked = name, asked

    def close(self) -> _Hung:
        self._asked.append(f"close {self._name}")
        return self

    def wait(self, end: float) -> bool:
        self._asked.append((self._name, end))
        return False

    def abandon(self) -> int:
        self._asked.append(f"abandon {self._name}")
        return 0


def test_the_three_signals_share_one_deadline_and_the_metrics_come_last() -> None:
    """Traces and logs end side by side; what they lost is in the last collection (trap 18)."""
    asked: list[object] = []
    ways: dict[str, Any] = {
        field: _Hung(name, asked)
        for field, name in (("spans", "traces"), ("records", "logs"), ("collector", "metrics"))
    }
    lost = lifecycle._close(dataclasses.replace(_signals(), **ways), end=100.0, limit=2.0)
    assert lost == ["traces", "logs", "metrics"]
    assert asked == [
        "close traces", "close logs", ("traces", 99.5), "abandon traces", ("logs", 99.5),
        "abandon logs", "close metrics", ("metrics", 100.0),
    ]  # fmt: skip


def test_a_second_shutdown_waits_for_the_first_and_gives_its_answer() -> None:
    """The exit handler of the main thread must not end a process whose thread still exports."""
    closing, go_on = threading.Event(), threading.Event()

    def shutdown() -> None:
        closing.set()
        assert go_on.wait(30)

    lifecycle = Lifecycle(Config())
    lifecycle._current.signals = _signals(shutdown)
    answers: list[bool] = []
    first = threading.Thread(target=lambda: answers.append(lifecycle.shutdown(30)))
    first.start()
    assert closing.wait(30)
    assert not lifecycle.shutdown(0.01)  # It is not over, and the time is up.
    second = threading.Thread(target=lambda: answers.append(lifecycle.shutdown(30)))
    second.start()
    assert answers == []
    go_on.set()
    first.join(30)
    second.join(30)
    assert answers == [True, True]


@pytest.mark.parametrize("deadline", ["soon", -1, float("nan"), float("inf"), 1e300, object()])
def test_a_deadline_that_is_none_never_raises(deadline: Any) -> None:
    """The call is public: a wrong value becomes the configured deadline."""
    lifecycle = Lifecycle(Config())
    lifecycle._current.signals = _signals()
    assert lifecycle.force_flush(deadline)
    assert lifecycle.shutdown(deadline)
