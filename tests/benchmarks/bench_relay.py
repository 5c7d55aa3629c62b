"""Measure what a delivery costs its child: handed to the relay, exported by itself, kept in memory.

Each way runs in a forked child of its own, in turn, so that a busy machine slows all. A delivery
is what a small task makes: a consumer span with ten attributes and a span below it, three log
records, a counter and a histogram. Written to docs/benchmarks/relay.json.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry import metrics, trace

from etl_telemetry.setup import lifecycle, setup_telemetry
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks" / "relay.json"
ROUNDS, CALLS = 7, 100
ATTRIBUTES = {f"attribute.number{n}": f"value {n}" for n in range(10)}

telemetry_log = logging.getLogger("bench")


def _instruments() -> Callable[[Callable[[], None], Callable[[], None]], None]:
    tracer = trace.get_tracer("bench")
    meter = metrics.get_meter("bench")
    count, seconds = meter.create_counter("count"), meter.create_histogram("seconds")

    def delivery(begun: Callable[[], None], ended: Callable[[], None]) -> None:
        with tracer.start_as_current_span("run/task", attributes=ATTRIBUTES):
            telemetry_log.info("task_started")
            begun()
            with tracer.start_as_current_span("query", attributes=ATTRIBUTES):
                pass
            telemetry_log.info("working", extra={"rows": 5})
            hold()
            telemetry_log.info("task_completed", extra={"duration": 0.5})
            count.add(1, {"status": "success"})
            seconds.record(0.5, {"status": "success"})
        ended()

    def hold() -> None:
        relay = life.relay
        if relay is not None:
            relay.hold()

    life = lifecycle()
    assert life is not None
    return delivery


def _nothing() -> None:
    """Do nothing."""


Figures = tuple[float, float, float]
"""Milliseconds a delivery: on the clock, CPU of the child, CPU of the relay."""


def _in_child(measure: Callable[[], tuple[float, float]]) -> Figures:
    """Return what a forked child measured, and the CPU that this process used meanwhile."""
    reading, writing = os.pipe()
    before = resource.getrusage(resource.RUSAGE_SELF)
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(measure()).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    clock, cpu = json.loads(os.read(reading, 100))
    os.close(reading)
    os.close(writing)
    time.sleep(0.2)
    after = resource.getrusage(resource.RUSAGE_SELF)
    mine = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / CALLS
    return clock, cpu, mine * 1e3


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    for _ in range(5):
        call()
    clock, cpu = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        call()
    return (
        (time.perf_counter() - clock) / CALLS * 1e3,
        (time.process_time() - cpu) / CALLS * 1e3,
    )


def main() -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as folder:
        pid, address = _receiver(Path(folder))
        telemetry = setup_telemetry(
            service_name="bench", endpoint=address, instrumentations=(), metric_interval=3600.0
        )
        telemetry_log.setLevel(logging.INFO)
        telemetry_log.addHandler(logging.NullHandler())
        delivery = _instruments()
        life = lifecycle()
        assert life is not None

        def exported() -> tuple[float, float]:
            return _timed(lambda: delivery(_nothing, lambda: telemetry.force_flush(30)))

        def kept() -> tuple[float, float]:
            return _timed(lambda: delivery(_nothing, _nothing))

        by_itself = [_in_child(exported) for _ in range(ROUNDS)]
        in_memory = [_in_child(kept) for _ in range(ROUNDS)]
        relay = life.begin_relay()
        assert relay is not None
        relay.begin()

        def handed() -> tuple[float, float]:
            return _timed(
                lambda: delivery(
                    lambda: relay.release(b"x" * 400),
                    lambda: relay.release(b"E", measure=True),
                )
            )

        relayed = [_in_child(handed) for _ in range(ROUNDS)]
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    report = {
        "command": "nox -s bench",
        "python": sys.version.split()[0],
        "calls": ROUNDS * CALLS,
        "results": {
            "handed to the relay": _row(relayed),
            "exported by its child at its end": _row(by_itself),
            "kept by its child for the next batch": _row(in_memory),
        },
    }
    TARGET.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def _receiver(folder: Path) -> tuple[int, str]:
    """Run a receiver in a process of its own; return its id and address."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with Store(folder / "telemetry.db") as store, Receiver(store) as receiver:
            os.write(writing, receiver.address.encode())
            time.sleep(3600)
        os._exit(0)
    return pid, os.read(reading, 200).decode()


def _row(rounds: list[Figures]) -> dict[str, float]:
    clock, cpu, relay = (statistics.median(figures) for figures in zip(*rounds, strict=True))
    return {"ms": round(clock, 2), "cpu_ms": round(cpu, 2), "relay_cpu_ms": round(relay, 2)}


if __name__ == "__main__":
    main()
