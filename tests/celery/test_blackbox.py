"""The black box: which deliveries it reports, as what, and how often."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from billiard.exceptions import TimeLimitExceeded
from opentelemetry.trace import SpanContext, TraceFlags

from etl_telemetry.celery import blackbox, marks
from etl_telemetry.celery.blackbox import BlackBox
from etl_telemetry.celery.marks import Begun
from etl_telemetry.runtime.relay.decode import RelayedSpan
from support.telemetry import Telemetry, telemetry

BEGUN = Begun(
    delivery="00000000000000aa", task_id="t1", name="shop.load", type="load", pipeline="daily",
    run=None, started_ns=time.time_ns() - 3 * 10**9, trace_id="0" * 30 + "bb", sampled=True,
    retries=0, queue="jobs", worker="etl@here", span=b"span",
)  # fmt: skip


def span(end: int | None = None) -> Any:
    """Return the span of the delivery, as decoded."""
    context = SpanContext(0xBB, 0xAA, is_remote=False, trace_flags=TraceFlags(1))
    return RelayedSpan(
        dropped=(1, 2, 3), name="run/shop.load", context=context, attributes={"own": 1},
        start_time=5, end_time=end,
    )  # fmt: skip


class Box:
    """A black box, and what it exported."""

    def __init__(self) -> None:
        self.exported: list[Any] = []
        self.box = BlackBox(self.exported.append)

    def begin(self, begun: Begun = BEGUN, pid: int = 7) -> None:
        """Read the mark "begun" of a child."""
        self.box.mark(pid, begun.to_mark(), lambda _: span())

    def judge(self) -> None:
        """Let the moment pass that Celery has to tell why."""
        while (left := self.box.tick()) is not None:
            time.sleep(left)


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Telemetry:
    """Give what is counted in this test."""
    caplog.set_level(logging.INFO, "etl_telemetry.celery")
    return telemetry()


@pytest.fixture
def box(seen: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Box:
    """Give a black box that waits for less."""
    monkeypatch.setattr(blackbox, "GRACE", 0.01)
    monkeypatch.setattr(blackbox, "TOLD", 0.05)
    return Box()


def lost(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return error type and message of each lost delivery that was logged."""
    found = [record for record in caplog.records if record.msg == "task_lost"]
    return [(vars(r)["error.type"], vars(r)["exception.message"]) for r in found]


def test_a_mark_is_read_as_it_was_written() -> None:
    """With its span, which is not JSON."""
    begun = marks.read(BEGUN.to_mark())
    assert begun == BEGUN
    assert marks.read(marks.ended("00aa")) == "00aa"
    with pytest.raises(ValueError, match="a mark of the relay must begin with B or E"):
        marks.read(b"?")


def test_a_delivery_that_told_its_end_is_not_reported(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """A child that ends between two tasks leaves nothing open."""
    box.begin()
    box.box.mark(7, marks.ended(BEGUN.delivery), lambda _: None)
    box.box.ended(7, -9)
    box.judge()
    box.box.close()
    assert (box.exported, lost(caplog)) == ([], [])


def test_a_killed_delivery_is_reported_once(
    box: Box, seen: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Its span under its own id, its log event, its count; whatever comes afterwards."""
    box.begin()
    box.box.ended(7, -9)
    box.judge()
    box.box.failed("t1", TimeLimitExceeded(1))
    box.box.ended(7, None)
    box.judge()
    box.box.close()
    (found,) = box.exported
    assert found.context == span().context
    dropped = (found.dropped_attributes, found.dropped_events, found.dropped_links)
    assert dropped == (1, 2, 3)  # By the limits, in the process that was killed.
    assert (found.start_time, found.status.description) == (
        5, "its process was killed by signal 9 (SIGKILL)",
    )  # fmt: skip
    assert dict(found.attributes) == {
        "own": 1,
        "task.id": "t1",
        "task.name": "shop.load",
        "task.type": "load",
        "task.status": "lost",
        "error.type": "billiard.exceptions.WorkerLostError",
        "queue.name": "jobs",
        "worker_name": "etl@here",
    }
    assert lost(caplog) == [
        ("billiard.exceptions.WorkerLostError", "its process was killed by signal 9 (SIGKILL)")
    ]
    labels = (("pipeline.name", "daily"), ("status", "lost"), ("task.type", "load"))
    counted = seen.values()
    assert counted["task.executions"] == {labels: 1}
    assert counted["task.execution.duration"] == {labels[1:]: 1}


def test_an_exit_code_that_celery_read_first_is_used(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reaps a child takes its exit code away."""
    box.begin()
    box.box.exited(7, 3)
    box.box.ended(7, None)
    box.judge()
    assert [text for _, text in lost(caplog)] == ["its process has exited with code 3"]


def test_an_exit_code_that_celery_tells_late_is_waited_for(
    box: Box, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaps a child when it looks for one that is free, and tells so up to 5 s later."""
    monkeypatch.setattr(blackbox, "TOLD", 3_600.0)
    box.begin()
    box.box.ended(7, None)
    time.sleep(0.02)
    assert box.box.tick() is not None
    assert lost(caplog) == []
    box.box.exited(7, -11)
    box.judge()
    assert [text for _, text in lost(caplog)] == ["its process was killed by signal 11 (SIGSEGV)"]


def test_an_exit_code_that_celery_never_tells_is_not_waited_for_forever(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """What is reported then says as much as is known."""
    box.begin()
    box.box.ended(7, None)
    box.judge()
    assert [text for _, text in lost(caplog)] == ["its process has ended"]


def test_an_exit_code_of_a_process_that_had_the_same_id_before_is_forgotten(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """The system gives the ids of processes again."""
    box.box.exited(7, 3)
    box.begin(replace(BEGUN, started_ns=time.time_ns() + 1))
    box.box.ended(7, None)
    box.judge()
    assert [text for _, text in lost(caplog)] == ["its process has ended"]


def test_an_exit_code_that_is_told_before_the_begin_is_read_is_used(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """A child that dies right after its begin is reaped while its mark waits to be read."""
    box.box.exited(7, -11)
    box.begin()
    box.box.ended(7, None)
    box.judge()
    assert [text for _, text in lost(caplog)] == ["its process was killed by signal 11 (SIGSEGV)"]


def test_a_redelivery_is_told_the_delivery_before(box: Box) -> None:
    """While it is open or once it was judged; of that message, not of another retry."""
    assert box.box.before("t1", 0) is None
    box.begin()
    assert box.box.before("t1", 0) == BEGUN.context
    box.box.ended(7, -9)
    box.judge()
    assert (box.box.before("t1", 0), box.box.before("t1", 1)) == (BEGUN.context, None)
    box.begin(replace(BEGUN, task_id="t2"))
    box.box.mark(7, marks.ended(BEGUN.delivery), lambda _: None)
    assert box.box.before("t2", 0) is None


def test_a_span_that_comes_before_the_end_of_its_delivery_is_exported(box: Box) -> None:
    """The mark may come in a later message: a tick of the metrics sends what was held."""
    box.begin()
    ended = span(end=9)
    assert box.box.spans(7, [ended]) == []
    box.box.mark(7, marks.ended(BEGUN.delivery), lambda _: None)
    box.box.close()
    assert box.exported == [ended]


def test_a_span_that_ended_without_its_delivery_is_kept_and_told_once(box: Box) -> None:
    """An exit within a task ends its span, and nobody has told the outcome."""
    box.begin()
    other = RelayedSpan(
        dropped=(0, 0, 0), name="other", context=SpanContext(0xBB, 0xCC, is_remote=False)
    )
    assert box.box.spans(7, [span(end=9), other]) == [other]
    box.box.ended(7, 1)
    box.judge()
    (found,) = box.exported
    assert (found.end_time, found.attributes["task.status"]) == (9, "lost")


def test_a_cause_of_an_earlier_delivery_is_not_that_of_a_later_one(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """A hard time limit is told twice, the second time after the first delivery was reported."""
    box.box.failed("t1", TimeLimitExceeded(1))
    time.sleep(0.05)
    box.begin()
    box.box.ended(7, -9)
    box.judge()
    assert [kind for kind, _ in lost(caplog)] == ["billiard.exceptions.WorkerLostError"]


def test_what_is_terminated_is_revoked_and_not_counted_twice(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """The receiver of `task_revoked` counts and logs it."""
    box.begin()
    box.box.revoked("t1")
    box.box.ended(7, -15)
    box.judge()
    (found,) = box.exported
    assert found.attributes["task.status"] == "revoked"
    assert lost(caplog) == []


def test_what_is_open_when_the_worker_ends_is_lost(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    """Its children do not outlive it."""
    box.begin()
    box.box.close()
    assert [text for _, text in lost(caplog)] == ["its process has ended"]
