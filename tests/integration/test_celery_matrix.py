"""What arrives is what happened: a truth that the tasks write, compared exactly.

Each test drives a real worker, and reads what the embedded receiver got after it has ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.broker import broker, broker_server
from support.celery_worker import PATIENCE, Received, Worker, environment, received, worker

__all__ = ["broker", "broker_server", "received"]

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
        """Count the lines of these events."""
        return sum(line["event"] in events for line in self.told())

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
        spans = query.spans()
        roots = [s for s in spans if s.name.startswith("run/")]
        events = Counter(str(log.body) for log in query.logs())
        return {
            "deliveries": len(roots),
            "ids": len({s.span_id for s in roots}),
            "parts": sorted(s.attributes["n"] for s in spans if s.name == "part"),
            "records": events["part of %d"]
            or sum(n for body, n in events.items() if body.startswith("part of ")),
            "started": events["task_started"],
            "ends": events["task_completed"] + events["task_failed"] + events["task_lost"],
            "counted": {
                k[0]: v for k, v in query.sum_latest("task.executions", by=("status",)).items() if v
            },
        }

    def happened(self) -> dict[str, object]:
        """Sum up what the tasks say."""
        told = self.told()
        begun = [line for line in told if line["event"] == "begun"]
        parts = sorted(line["n"] for line in told if line["event"] == "measured")  # type: ignore[type-var]
        ends = Counter(STATUS[str(line["event"])] for line in told if line["event"] in STATUS)
        return {
            "deliveries": len(begun),
            "ids": len(begun),
            "parts": parts,
            "records": len(parts),
            "started": len(begun),
            "ends": ends.total(),
            "counted": dict(ends),
        }

    def units(self) -> int:
        """Return the sum of what was measured by deliveries that were not killed."""
        told = self.told()
        lost = Counter((t["id"], t["pid"]) for t in told if t["event"] == "lost")
        return sum(
            int(str(t["n"]))
            for t in told
            if t["event"] == "measured" and (t["id"], t["pid"]) not in lost
        )

    def check(self) -> None:
        """Compare both."""
        assert self.arrived() == self.happened()
        query = self.received.query
        assert sum(query.sum_latest("jobs.units", by=()).values()) == self.units()


@pytest.fixture
def matrix(broker: str, received: Received, tmp_path: Path) -> Matrix:
    """Give the ends of one test."""
    return Matrix(broker, received, tmp_path / "truth")


PREFORK = ("--pool=prefork", "-c3")


def wait(running: Worker, matrix: Matrix, number: int, *events: str) -> None:
    """Wait until so many deliveries have ended."""
    wanted = events or tuple(STATUS)
    running.wait_for(lambda: matrix.count(*wanted) >= number, f"{number} of {wanted}")


@pytest.mark.parametrize(
    "options",
    [
        (*PREFORK, "--max-tasks-per-child=1"),
        (*PREFORK, "--autoscale=4,1"),
        ("--pool=threads", "-c3"),
        ("--pool=solo",),
    ],
    ids=["one task per child", "autoscale", "threads", "solo"],
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
        time.sleep(1)
    matrix.check()
    lost = [log for log in matrix.received.query.logs() if log.body == "task_lost"]
    assert Counter(log.attributes["exception.message"] for log in lost) == {
        "its process was killed by signal 9 (SIGKILL)": 4,
        "its process was killed by signal 11 (SIGSEGV)": 1,
        "its process has exited with code 3": 1,
    }
