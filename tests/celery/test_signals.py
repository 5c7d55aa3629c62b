"""The life of a worker: where its processes begin, log and end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from celery.apps.worker import Worker
from celery.contrib.testing.worker import TestWorkController
from opentelemetry import context

from etl_telemetry.celery.signals import connect
from etl_telemetry.config import Config
from etl_telemetry.runtime import log_bridge

NAMES = (
    "worker_init", "beat_init", "after_setup_logger", "after_setup_task_logger",
    "worker_process_init", "worker_process_shutdown", "worker_ready", "worker_shutdown",
    "celeryd_after_setup", "task_prerun", "task_postrun", "task_failure", "task_revoked",
)  # fmt: skip


class Calls:
    """Stand in for the life cycle, and remember what it was asked."""

    relay = None

    def __init__(self) -> None:
        self.made: list[tuple[str, float]] = []

    def shutdown(self, deadline: float) -> bool:
        """Remember."""
        self.made.append(("shutdown", deadline))
        return True

    def force_flush(self, deadline: float) -> bool:
        """Remember."""
        self.made.append(("force_flush", deadline))
        return True


@pytest.fixture
def _restored() -> Iterator[None]:
    before = {name: list(getattr(signals, name).receivers) for name in NAMES}
    for name in NAMES:
        getattr(signals, name).receivers.clear()
    yield
    for name, receivers in before.items():
        getattr(signals, name).receivers[:] = receivers
        getattr(signals, name).sender_receivers_cache.clear()


pytestmark = pytest.mark.usefixtures("_restored")


@pytest.fixture
def calls() -> Calls:
    """Connect a stand-in for the life cycle, with a deadline of 1.5 s."""
    made = Calls()
    connect(Config(deadline=1.5), made)  # type: ignore[arg-type]
    return made


def worker(kind: type) -> Any:
    """Make a worker object without starting it."""
    made = kind.__new__(kind)
    made.app, made.hostname = Celery("jobs", set_as_current=False), "etl@here"
    return made


def test_a_pool_child_exports_at_its_end(calls: Calls) -> None:
    """`atexit` never runs there, so the signal is the only chance."""
    signals.worker_process_shutdown.send(None, pid=1, exitcode=0)
    assert calls.made == [("shutdown", 1.5)]


def test_a_pool_child_takes_two_seconds_at_most() -> None:
    """It is killed together with its parent, whatever deadline was configured."""
    made = Calls()
    connect(Config(deadline=30.0), made)  # type: ignore[arg-type]
    signals.worker_process_shutdown.send(None, pid=1, exitcode=0)
    assert made.made == [("shutdown", 2.0)]


def test_the_celery_programs_worker_ends_telemetry_with_its_process(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, after the record that it ends: the exit handler must not wait a second time."""
    with caplog.at_level(logging.INFO, "etl_telemetry.celery"):
        signals.worker_shutdown.send(worker(Worker))
    assert calls.made == [("shutdown", 1.5)]
    assert [(r.getMessage(), vars(r)["worker_name"]) for r in caplog.records] == [
        ("worker_shutdown", "etl@here")
    ]


def test_an_embedded_worker_only_exports(calls: Calls) -> None:
    """The process that embeds it lives on, and so does its telemetry."""
    signals.worker_shutdown.send(worker(TestWorkController))
    assert calls.made == [("force_flush", 1.5)]


def test_a_pool_child_starts_from_a_clean_context(calls: Calls) -> None:
    """What was current in the parent at the fork is not current in the child."""
    token = context.attach(context.set_value("left over", "from the parent"))
    try:
        signals.worker_process_init.send(None)
        assert context.get_current() == {}
    finally:
        context.detach(token)


@pytest.mark.parametrize("name", ["worker_init", "beat_init", "after_setup_logger",
                                  "after_setup_task_logger", "worker_process_init"])  # fmt: skip
def test_the_log_bridge_is_attached_again_wherever_logging_may_have_changed(
    name: str, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without Celery's hijack of the root logger, and with a `setup_logging` receiver."""
    attached: list[str] = []
    monkeypatch.setattr(log_bridge, "reattach", lambda: attached.append(name))
    before = context.get_current()
    getattr(signals, name).send(None)
    context.attach(before)
    assert attached == [name]


def test_connecting_twice_ends_once(calls: Calls) -> None:
    """Both Django's `ready()` and `celery.py` may set telemetry up."""
    connect(Config(deadline=1.5), calls)  # type: ignore[arg-type]
    signals.worker_process_shutdown.send(None, pid=1, exitcode=0)
    assert calls.made == [("shutdown", 1.5)]


def test_an_error_of_ours_never_reaches_the_worker(
    calls: Calls, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery would log a traceback for a receiver that raises; ours never does."""
    monkeypatch.setattr(calls, "shutdown", lambda _: 1 / 0)
    signals.worker_process_shutdown.send(None, pid=1, exitcode=0)
    signals.worker_ready.send(object())
    assert [record.name for record in caplog.records if record.levelno > logging.WARNING] == []
