"""What a real worker tells of itself, what the observer sees of it, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from etl_telemetry.catalogue import METRICS
from etl_telemetry.viewer.records import LogRecord
from support.broker import broker, broker_server, started
from support.celery_worker import PATIENCE, Received, environment, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

FAST = {"OTEL_METRIC_EXPORT_INTERVAL": "200"}
COMMAND = str(Path(sys.executable).with_name("etl-telemetry"))
# A lock of each test's own: others observe at the same time.
OBSERVE = (COMMAND, "observer", "--app", "support.celery_app", "--lock", "lead")


def last(received: Received, metric: str) -> dict[str, object]:
    """Return the last value by worker or queue; None where the series has ended."""
    return {
        str(next(iter(series.attributes.values()), "")): series.points[-1].value
        for series in received.query.series(metric)
    }


def once(broker: str, received: Received, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the observer once."""
    return subprocess.run(
        [*OBSERVE, "--once", *words],
        env=environment(broker, received.endpoint, ETL_TELEMETRY_SERVICE_NAME="jobs"),
        cwd=received.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def observing(
    broker: str, received: Received, *words: str, more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the observer while the block runs."""
    process = subprocess.Popen(
        [*OBSERVE, "--interval", "0.2", *words],
        env=environment(broker, received.endpoint, **FAST, **(more or {})),
        cwd=received.folder,
    )
    try:
        yield process
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def wait_for(received: Received, metric: str, expected: Mapping[str, object]) -> None:
    """Wait until the last values of a metric are these."""
    end = time.monotonic() + PATIENCE
    while last(received, metric) != expected:
        assert time.monotonic() < end, last(received, metric)
        time.sleep(0.1)


def test_a_worker_tells_what_it_has_in_hand(broker: str, received: Received) -> None:
    """Slots, running and prefetched tasks, in its main process only; nothing when it has ended."""
    options = ("-c", "2", "-n", "one@here", "--prefetch-multiplier", "2")
    with worker(broker, received, *options, variables=FAST):
        run_script(
            "from support.celery_app import sleep\nfor _ in range(3): sleep.delay(8)",
            broker, received, SET_UP_IN="nowhere",
        )  # fmt: skip
        wait_for(received, "celery.worker.tasks.active", {"one@here": 2})
        wait_for(received, "celery.worker.tasks.prefetched", {"one@here": 1})
        assert last(received, "celery.worker.pool.size") == {"one@here": 2}
        wait_for(received, "celery.worker.tasks.active", {"one@here": 0})
    assert len(received.query.series("celery.worker.pool.size")) == 1
    # And nothing of what Celery's, redis' and the SDK's own instrumentation would tell.
    assert {one.name for one in received.query.metrics()} <= set(METRICS)


def test_the_observer_sees_workers_and_queues(broker: str, received: Received) -> None:
    """Up while they answer, down when they are gone; the broker's queues all the time."""
    with observing(broker, received, "--queues", "named"):
        wait_for(received, "celery.queue.size", {"jobs": 0, "named": 0})
        with worker(broker, received, "-P", "solo", "-n", "one@here"):
            wait_for(received, "celery.worker.up", {"one@here": 1})
            wait_for(received, "celery.queue.consumers", {"jobs": 1, "named": 0})
        wait_for(received, "celery.worker.up", {"one@here": 0})
        wait_for(received, "celery.queue.consumers", {"jobs": 0, "named": 0})
        run_script(
            "from support.celery_app import work\nwork.delay(1)",
            broker, received, SET_UP_IN="nowhere",
        )  # fmt: skip
        wait_for(received, "celery.queue.size", {"jobs": 1, "named": 0})
    names = {s.resource["service.instance.id"] for s in received.query.series("celery.queue.size")}
    assert names == {"observer"}
    # Its questions are no spans.
    questions = {"LLEN", "HLEN", "LINDEX", "PING", "ECHO"}
    assert not [span.name for span in received.query.spans() if span.name in questions]


def test_the_observer_says_when_the_broker_is_down(received: Received) -> None:
    """Once, and it ends in good order."""
    done = once("redis://user:secret@127.0.0.1:1/0", received)
    assert (done.returncode, done.stdout) == (0, "")
    failed = [log for log in received.query.logs() if log.body == "observer_source_failed"]
    assert {
        str(log.attributes["observer.source"]): log.attributes["reason"] for log in failed
    } == dict.fromkeys(
        ("queues", "workers", "consumers"),
        "ConnectionError: Error 111 connecting to 127.0.0.1:1. Connection refused.",
    )


def test_the_series_of_a_broker_that_goes_away_end_with_a_reason(received: Received) -> None:
    """All of them, and one record says why; the observer goes on, and ends in good order."""
    server = started()
    metrics = ("celery.queue.size", "celery.messages.unacked")
    with observing(f"{server.connection_url}/0", received, "--without", "workers", "consumers"):
        for metric, label in zip(metrics, ("jobs", ""), strict=True):
            wait_for(received, metric, {label: 0})
        server.stop()
        for metric, label in zip(metrics, ("jobs", ""), strict=True):
            wait_for(received, metric, {label: None})
    failed = [log for log in received.query.logs() if log.body == "observer_source_failed"]
    assert [log.attributes["observer.source"] for log in failed] == ["queues"]
    assert str(failed[0].attributes["reason"]).startswith("ConnectionError: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--app", "support.nothing:app"], "No module named 'support.nothing'"),
        (["--without", "runs"], "no source is called runs; there are: queues, workers, consumers"),
    ],
)
def test_a_wrong_option_is_refused(
    broker: str, received: Received, words: list[str], message: str
) -> None:
    """Exit code 2, what was wrong, on stderr."""
    done = once(broker, received, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"etl-telemetry observer: {message}\n"


def test_what_a_worker_refuses_is_logged_without_its_content(
    broker: str, received: Received
) -> None:
    """A task that it does not have, a message that is none, a task that refuses its message."""
    app = Celery("other", broker=broker, set_as_current=False)
    with worker(broker, received, "-P", "solo") as running:
        app.send_task("shop.unknown", ["secret"], task_id="one", queue="jobs")
        with app.connection_for_write() as connection:
            connection.Producer().publish({"secret": 1}, routing_key="jobs")
        app.send_task("support.celery_app.reject", task_id="two", queue="jobs")
        app.send_task("support.celery_app.fail", ["secret"], task_id="three", queue="jobs")
        running.wait_for(lambda: "three" in running.log, "the last task")
    ours = [log for log in received.query.logs() if log.scope.name == "etl_telemetry.celery"]
    found = {str(log.body): log for log in ours}
    assert found["task_unknown"].attributes["task.name"] == "shop.unknown"
    assert found["task_unknown"].attributes["task.id"] == "one"
    assert found["message_rejected"].attributes["error.type"] == "unknown"
    assert found["task_rejected"].attributes["task.id"] == "two"
    assert found["task_rejected"].attributes["exception.message"] == "unreadable"
    failed = found["task_failed"]
    assert failed.attributes["exception.type"] == "ValueError"
    assert "raise ValueError" in str(failed.attributes["exception.stacktrace"])
    assert not [log for log in ours if "secret" in _all(log)]


def _all(log: LogRecord) -> str:
    # The line of source code that raises is shown; it holds a name, no value.
    return f"{log.body} {log.attributes}".replace("{secret}", "").replace("secret: str", "")
