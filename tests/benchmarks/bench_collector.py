"""Measure the Collector: items a second, per CPU second of each process, and memory.

    python tests/benchmarks/bench_collector.py [--items 100000] [--only single-node]

Real engines, the product's configurations: the single node, and agent, Kafka, gateway. What is
sent counts when the last queue is empty and the backend's exporter has reported as many as were
sent. A shared machine changes the items per second; the CPU seconds of a process it changes little,
so the sizing page is made of them. Writes collector.json and collector.md into docs/benchmarks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from support.stack import Collector, Engine, Kafka, Stack, ending, eventually, load
from support.stack.ask import http
from support.stack.product import PRODUCT

OUTPUT = Path(__file__).parents[2] / "docs" / "benchmarks"
MEBIBYTE = 2**20
SENT = "otelcol_exporter_sent_{}"
FAILED = "otelcol_exporter_send_failed_{}"
PATIENCE = 600
IDLE = 0.5
"""CPU seconds below which an engine had nothing to do with the signal."""
PAGE = """---
orphan: true
---

# Collector: items per second

Real engines with the product's configurations on {cores} cores ({machine}) that they share with
the sender; requests of {batch} items over two connections. The time ends when the backends
have everything. Other work beside: a load of {load} in all. Where that is above the number of
cores, items a second say little; what one CPU second does, further down, says nearly the same.
The items are much alike: yours compress less.

| way | signal | items | bytes an item | items/s | bytes stored | told "later" |
| --- | --- | --: | --: | --: | --: | --: |
{ways}

"Bytes stored": of an item in Elasticsearch (single node, logs) or in Kafka's log (compressed, one
replica). What one process spent, and the most memory that it had:

| way | signal | process | items per CPU second | MiB |
| --- | --- | --- | --: | --: |
{processes}

Made by

```text
{command}
```
"""


@dataclass(frozen=True, slots=True)
class Process:
    """What one process spent."""

    items_per_cpu_second: int
    """Items divided by the CPU time that it used for them."""
    peak_mib: int
    """The most memory that it had resident since its start."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one path did with one signal."""

    path: str
    """`single-node` or `kafka`."""
    signal: str
    """`traces`, `logs` or `metrics`."""
    items: int
    """Spans, records or points that were sent, and handed to the backend."""
    bytes_per_item: int
    """In OTLP, not compressed."""
    seconds_taken: float
    """From the first request to the last answer: all of it is on a disk."""
    seconds_delivered: float
    """From the first request until the backend has all of it."""
    items_per_second: int
    """By `seconds_delivered`."""
    told_later: int
    """How often the first Collector answered that the sender should come back."""
    stored_bytes_per_item: int | None
    """In Elasticsearch (logs) or in Kafka's log, compressed; None where it is not measured."""
    processes: dict[str, Process]
    """The Collectors, the broker, the backends."""


@dataclass(frozen=True, slots=True)
class Way:
    """The engines between an application and the backends."""

    stack: Stack
    """The backends, and as its Collector the one that writes to them."""
    first: Collector
    """What applications send to."""
    broker: Kafka | None = None
    """What is between the two, if they are two."""

    @property
    def engines(self) -> dict[str, Engine]:
        """Return all whose cost is of interest."""
        found: dict[str, Engine] = {each.name: each for each in self.stack.backends}
        if self.broker is None:
            return {"collector": self.first, **found}
        return {"agent": self.first, "gateway": self.stack.collector, **found}

    def sent(self, signal: str) -> int:
        """Return how many items the last Collector has handed to the backends.

        Raises:
            RuntimeError: A backend has refused some for good.
        """
        name, ask = load.NAMES[signal], self.stack.collector.ask
        if failed := sum(ask.values(FAILED.format(name), "exporter").values()):
            raise RuntimeError(f"a backend refused {failed:g} {name}")
        return int(sum(ask.values(SENT.format(name), "exporter").values()))

    def stored(self, signal: str) -> int | None:
        """Return how many bytes lie in Kafka, or in Elasticsearch, where they are of interest."""
        if self.broker is not None:
            topic = self.broker.folder.glob(f"data/etl_{signal}-*/*.log")
            return sum(path.stat().st_size for path in topic)
        if signal != "logs":
            return None
        ask = self.stack.elasticsearch.ask
        http.send("POST", f"{ask.url}/logs-*/_flush")
        return sum(
            path.stat().st_size
            for path in self.stack.elasticsearch.folder.glob("data/indices/*/*/index/*")
        )


@contextmanager
def single_node(folder: Path) -> Iterator[Way]:
    """Start the single node."""
    stack = Stack(folder)
    stack.elasticsearch.java_options = ()
    with stack:
        yield Way(stack, stack.collector)


@contextmanager
def kafka(
    folder: Path, *, over_agent: Sequence[Path] = (), over_gateway: Sequence[Path] = ()
) -> Iterator[Way]:
    """Start an agent, Kafka, and a gateway; with configurations over the product's."""
    gateway = [PRODUCT / "gateway.yaml", PRODUCT / "gateway-kafka.yaml", *over_gateway]
    broker = Kafka(folder)
    broker.java_options = ()
    own = [PRODUCT / "agent.yaml", PRODUCT / "agent-kafka.yaml", *over_agent]
    agent = Collector(folder / "agent", configs=own)
    agent.variables.update(broker.for_collector())
    stack = Stack(folder, configs=gateway, more=[broker])
    stack.elasticsearch.java_options = ()
    with stack, agent:
        yield Way(stack, agent, broker)


Start = Callable[[Path], AbstractContextManager[Way]]
WAYS: dict[str, Start] = {"single-node": single_node, "kafka": kafka}


def measure(path: str, signal: str, items: int, *, start: Start | None = None) -> Figure:
    """Send items of one signal on one way, with engines that have done nothing before.

    `start` starts another way than the usual one of this name.
    """
    bodies = load.encoded(signal, max(2, items // load.BATCH))
    items = len(bodies) * load.BATCH
    with (
        tempfile.TemporaryDirectory(prefix="etl-bench-") as folder,
        (start or WAYS[path])(Path(folder)) as way,
    ):
        before = {name: cpu(engine) for name, engine in way.engines.items()}
        begin = time.perf_counter()
        later = load.send(way.first.otlp_http, signal, bodies)
        taken = time.perf_counter() - begin
        eventually(
            "all is delivered", lambda: way.sent(signal) >= items, timeout=PATIENCE, every=0.1
        )
        delivered = time.perf_counter() - begin
        processes = {
            name: Process(round(items / (cpu(engine) - before[name])), peak(engine))
            for name, engine in way.engines.items()
            if cpu(engine) - before[name] > IDLE
        }
        stored = way.stored(signal)
    return Figure(
        path=path,
        signal=signal,
        items=items,
        bytes_per_item=round(sum(map(len, bodies)) / items),
        seconds_taken=round(taken, 2),
        seconds_delivered=round(delivered, 2),
        items_per_second=round(items / delivered),
        told_later=later,
        stored_bytes_per_item=None if stored is None else round(stored / items),
        processes=processes,
    )


def cpu(engine: Engine) -> float:
    """Return the CPU seconds of a process until now."""
    times = psutil.Process(engine.process_id).cpu_times()
    return float(times.user + times.system)


def peak(engine: Engine) -> int:
    """Return the most memory that a process had, in MiB; Linux tells."""
    status = Path(f"/proc/{engine.process_id}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / MEBIBYTE)


def page(figures: Sequence[Figure], command: str) -> str:
    """Return the figures as a page."""
    ways = [
        f"| {f.path} | {f.signal} | {f.items:,} | {f.bytes_per_item} | {f.items_per_second:,} "
        f"| {f.stored_bytes_per_item or '-'} | {f.told_later} |"
        for f in figures
    ]
    processes = [
        f"| {f.path} | {f.signal} | {name} | {p.items_per_cpu_second:,} | {p.peak_mib} |"
        for f in figures
        for name, p in f.processes.items()
    ]
    return PAGE.format(
        batch=load.BATCH,
        load=round(os.getloadavg()[1]),
        cores=os.cpu_count(),
        machine=platform.machine(),
        ways="\n".join(ways),
        processes="\n".join(processes),
        command=command,
    )


def main() -> None:
    """Measure every way with every signal and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=100_000, help="of each signal")
    parser.add_argument("--only", choices=WAYS, help="one way; nothing is written then")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the results")
    options = parser.parse_args()
    ending.in_good_order()
    figures = []
    for path in [options.only] if options.only else WAYS:
        for signal in load.MAKE:
            figures.append(measure(path, signal, options.items))
            sys.stdout.write(f"{json.dumps(asdict(figures[-1]))}\n")
            sys.stdout.flush()
    if options.only:
        return
    write(figures, options.output, command=f"nox -s bench -- collector --items {options.items}")


def write(figures: Sequence[Figure], output: Path, *, command: str) -> None:
    """Write the two files."""
    report = {
        "command": command,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": round(os.getloadavg()[1]),
        "batch": load.BATCH,
        "figures": [asdict(figure) for figure in figures],
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "collector.json").write_text(json.dumps(report, indent=2) + "\n")
    (output / "collector.md").write_text(page(figures, command))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(ending.INTERRUPTED)
