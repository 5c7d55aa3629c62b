"""What the observer reports, in a real Prometheus: one series over a change, and its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.process import environment
from support.stack import eventually
from support.stack.collector import Collector
from support.stack.prometheus import Prometheus

SCRIPT = """
import sys
from etl_telemetry import setup_telemetry
from etl_telemetry.catalogue import QUEUE_NAME, QUEUE_SIZE
from etl_telemetry.observer import Reading, board
telemetry = setup_telemetry(service_name="shop", traces_exporter="none", logs_exporter="none")
for line in sys.stdin:
    queues = line.split()
    board.lead(float("inf"))
    board.post("queues", [Reading(QUEUE_SIZE, 3, {QUEUE_NAME: queue}) for queue in queues])
    print(telemetry.force_flush(30), flush=True)
board.withdraw()
"""


class Observer:
    """A process that reports the queues that it is told."""

    def __init__(self, address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=environment(None, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{address}/v1/metrics"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def report(self, *queues: str) -> None:
        """Export once."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{' '.join(queues)}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "True\n"

    def end(self) -> None:
        """End in good order."""
        self.process.communicate(timeout=60)


@pytest.mark.parametrize("through_collector", [False, True], ids=["direct", "collector"])
def test_prometheus_ends_what_is_not_observed_any_more(
    tmp_path: Path, *, through_collector: bool
) -> None:
    """At once, not after five minutes; what the next observer reports is the same series."""
    prometheus, collector = Prometheus(tmp_path), Collector(tmp_path)
    collector.variables.update(prometheus.for_collector())

    def sizes() -> dict[tuple[str, ...], float]:
        return prometheus.ask.values("celery_queue_size", "queue_name", "instance")

    def become(expected: dict[tuple[str, ...], float]) -> None:
        eventually(f"the sizes are {expected}", lambda: sizes() == expected)

    with prometheus:
        address = prometheus.for_collector()["PROMETHEUS_OTLP_ENDPOINT"]
        if through_collector:
            collector.start()
            address = collector.otlp_http
        try:
            first = Observer(address)
            first.report("a", "b")
            become({("a", "observer"): 3, ("b", "observer"): 3})
            first.report("a")
            become({("a", "observer"): 3})
            first.end()
            assert sizes() == {("a", "observer"): 3}
            second = Observer(address)
            second.report("a")
            second.report()
            become({})
            second.end()
        finally:
            collector.stop()
