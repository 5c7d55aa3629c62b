"""Measure why a gateway behind Kafka does fewer spans a CPU second than a single node.

    python tests/benchmarks/bench_gateway.py [--items 20000]

The same spans go through agent, Kafka and gateway, each time with one line of the configuration
changed. Writes gateway.json into docs/benchmarks, of which the sizing page makes a table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench_collector import OUTPUT, kafka, measure

from support.stack import ending, load

MANY = {"exporters": {"kafka/traces": {"partition_traces_by_id": False}}}
NO_FSYNC = {"extensions": {"file_storage": {"fsync": False}}}
IN_MEMORY = {"exporters": {"otlp_http/jaeger": {"sending_queue": {"storage": None}}}}
CHANGES: dict[str, tuple[Any, Any]] = {
    "as it is: a message is one trace": ({}, {}),
    "messages of many traces": (MANY, {}),
    "its queue without `fsync`": ({}, NO_FSYNC),
    "its queue in memory": ({}, IN_MEMORY),
}
"""What is written over the agent's and the gateway's configuration."""


def figure(change: str, items: int) -> dict[str, Any]:
    """Return what the gateway did with one change."""
    with tempfile.TemporaryDirectory(prefix="etl-bench-") as folder:
        files = [Path(folder) / f"{name}.json" for name in ("agent", "gateway")]
        for path, written in zip(files, CHANGES[change], strict=True):
            path.write_text(json.dumps(written))  # JSON is YAML.
        agent, gateway = files
        start = partial(kafka, over_agent=[agent], over_gateway=[gateway])
        found = measure("kafka", "traces", items, start=start)
    spent = found.processes["gateway"]
    return {"change": change, "items_per_cpu_second": spent.items_per_cpu_second}


def main() -> None:
    """Measure each change and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=20_000, help="spans for each change")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the result")
    options = parser.parse_args()
    ending.in_good_order()
    figures = []
    for change in CHANGES:
        figures.append(figure(change, options.items))
        sys.stdout.write(f"{json.dumps(figures[-1])}\n")
        sys.stdout.flush()
    report = {
        "command": f"nox -s bench -- gateway --items {options.items}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[1]),
        "spans_of_a_trace": load.TASKS,
        "spans_of_a_request": load.BATCH,
        "figures": figures,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "gateway.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(ending.INTERRUPTED)
