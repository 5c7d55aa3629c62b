"""Real Celery workers as subprocesses, and the receiver that they export to.

A test takes the fixtures `broker` and `received`, runs `with worker(broker, received):`, publishes,
and asks `received.query` after the block: then the worker has ended, and everything is there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store

TESTS = Path(__file__).parent.parent
APP = "support.celery_app"
PATIENCE = 120.0
"""Seconds after which a wait fails: a guard against hangs on a busy machine, no measure."""


@dataclass(frozen=True, slots=True)
class Received:
    """A receiver, and what has arrived there."""

    endpoint: str
    """For `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    query: Query
    """Ask what has arrived."""
    folder: Path
    """Where the workers write their logs."""

    def names(self) -> Counter[str]:
        """Count the spans by name."""
        return Counter(span.name for span in self.query.spans())


@pytest.fixture
def received(tmp_path: Path) -> Iterator[Received]:
    """Give a receiver that nobody else exports to."""
    with Store(tmp_path / "received.db") as store, Receiver(store) as receiver:
        yield Received(receiver.address, Query(store.path), tmp_path)


def environment(broker: str, endpoint: str, **more: str) -> dict[str, str]:
    """Return the environment of a process that runs the application."""
    return {
        **os.environ,
        "BROKER": broker,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "PYTHONPATH": str(TESTS),
        "PYTHONWARNINGS": "default",
        **more,
    }


class Worker:
    """A running worker."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """All that it printed so far."""
        return self._log.read_text(errors="replace")

    def wait_for(
        self, condition: Callable[[], object], what: str, *, patience: float = PATIENCE
    ) -> None:
        """Wait until something is so; fail with the worker's log where it never is."""
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end or self.process.poll() is not None:
                pytest.fail(f"{what} never came; the worker's log:\n{self.log}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask for a warm shutdown and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the worker did not end; its log:\n{self.log}")


@contextmanager
def worker(
    broker: str,
    received: Received,
    *options: str,
    variables: Mapping[str, str] | None = None,
    app: str = APP,
) -> Iterator[Worker]:
    """Run a worker while the block runs, then end it by a warm shutdown."""
    log = received.folder / f"worker-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", app, "worker", "-l", "INFO",
             "--without-gossip", "--without-mingle", "--without-heartbeat", *options],
            env=environment(broker, received.endpoint, **(variables or {})),
            cwd=received.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    running = Worker(process, log)
    try:
        running.wait_for(lambda: " ready." in running.log, "readiness")
        yield running
        running.stop()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_script(script: str, broker: str, received: Received, **variables: str) -> str:
    """Run Python code in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(broker, received.endpoint, **variables),
        cwd=received.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
