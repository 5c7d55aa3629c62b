"""The matrix: real workers, the truth that their tasks write, and what arrived, compared exactly.

A test takes the fixture `matrix`, runs `with matrix.worker(...)`, publishes, and calls
`matrix.check()` after the block: then the worker has ended, and everything is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from etl_telemetry.viewer.records import LogRecord
from support.celery_worker import PATIENCE, Received, Worker, environment, worker

PREFORK = ("--pool=prefork", "-c3")
WITH_GEVENT = pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed")
THREADS = ("--pool=threads", "-c3")
SOLO = ("--pool=solo",)
GEVENT = ("--pool=gevent", "-c3")
ONE_PROCESS = [
    pytest.param(THREADS, id="threads"),
    pytest.param(SOLO, id="solo"),
    pytest.param(GEVENT, marks=WITH_GEVENT, id="gevent"),
]
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
    def worker(
        self, *options: str, variables: Mapping[str, str] | None = None, **conf: object
    ) -> Iterator[Worker]:
        """Run a worker of the matrix' application, with these settings of Celery."""
        told = {"TRUTH": str(self.truth), "CONF": json.dumps(conf), **(variables or {})}
        with worker(
            self.broker, self.received, *options, app="support.relay_app", variables=told
        ) as running:
            yield running

    def publish(self, script: str, **variables: str) -> None:
        """Run code that publishes, in a process without telemetry unless they say otherwise."""
        head = "from support.relay_app import *\n"
        done = subprocess.run(
            [sys.executable, "-c", head + script],
            env=environment(
                self.broker,
                self.received.endpoint,
                **{"TRUTH": str(self.truth), "OTEL_SDK_DISABLED": "true", **variables},
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

    def measured(self) -> tuple[list[int], list[int]]:
        """Return what must have arrived of the measurements, and what may have.

        What a killed delivery measured was handed over only if the 5 s tick fell in between.
        """
        told = self.told()
        finished = {(t["id"], t["pid"]) for t in told if t["event"] in {"ended", "failed", "left"}}
        measured = [t for t in told if t["event"] == "measured"]
        kept = [int(str(t["n"])) for t in measured if (t["id"], t["pid"]) in finished]
        return kept, [int(str(t["n"])) for t in measured]

    def check(self, **unfinished: int) -> None:
        """Compare both: each thing once, and sums, a counter's and a histogram's."""
        assert self.arrived() == self.happened(**unfinished)
        query = self.received.query
        kept, all_ = self.measured()
        assert sum(kept) <= sum(query.sum_latest("jobs.units", by=()).values()) <= sum(all_)
        sizes = list(query.sum_latest("jobs.sizes", by=()).values())
        assert len(kept) <= sum(one.count for one in sizes) <= len(all_)
        assert sum(n % 7 for n in kept) <= sum(one.sum for one in sizes) <= sum(n % 7 for n in all_)


@pytest.fixture
def matrix(broker: str, received: Received, tmp_path: Path) -> Matrix:
    """Give the ends of one test."""
    return Matrix(broker, received, tmp_path / "truth")


def wait(running: Worker, matrix: Matrix, number: int, *events: str) -> None:
    """Wait until so many deliveries have ended."""
    wanted = events or tuple(STATUS)
    running.wait_for(lambda: matrix.count(*wanted) >= number, f"{number} of {wanted}")


def lost(matrix: Matrix) -> list[LogRecord]:
    """Return what was logged of deliveries that were lost."""
    return [log for log in matrix.received.query.logs() if log.body == "task_lost"]
