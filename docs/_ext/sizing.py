"""Compute what so many runs a minute need, from what was measured and from what is stated here.

Measured: docs/benchmarks/{collector,volume,demo,gateway}.json. Counted: the catalogue. Everything
else is a `Stated`, with its reason, and stands in a table of the page that `sizing_page.py` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod
from typing import Any

from etl_telemetry import catalogue

SIGNALS = ("traces", "logs", "metrics")
DAY, MINUTE, GIGABYTE = 86_400, 60, 10**9


@dataclass(frozen=True, slots=True)
class Stated:
    """A number that nobody measured."""

    value: float
    """The number."""
    meaning: str
    """What it is, with its unit."""
    reason: str
    """Why this number."""


STATED: Mapping[str, Stated] = {
    "host_cores": Stated(16, "cores of a host that executes tasks", "a usual size"),
    "busy": Stated(0.5, "share of a core that is planned for", "room for peaks and catching up"),
    "gateway_cores": Stated(4, "cores of a gateway", "a usual size"),
    "least_gateways": Stated(2, "gateways at least", "one may be away"),
    "growth": Stated(2, "partitions for each gateway", "a partition has one reader"),
    "least_partitions": Stated(12, "partitions at least", "as [Kafka](collector.md) has it"),
    "each_pipeline": Stated(0.5, "runs of a pipeline a minute", "1,000 runs fill the budget"),
    "interval": Stated(60, "seconds between two exports of metrics", "default of the SDK"),
    "outage": Stated(4, "hours that a backend may be away", "a night shift's reaction"),
    "logs_kept": Stated(30, "days that log records are kept", "`elasticsearch/index-templates/`"),
    "errors_kept": Stated(90, "days that errors are kept", "the same"),
    "audit_kept": Stated(400, "days that audit events are kept", "the same"),
    "shard": Stated(40, "GB of a primary shard", "Elastic recommends 10 to 50"),
}  # fmt: skip
VALUES: Mapping[str, int] = {
    catalogue.PIPELINE_NAME: 1,
    catalogue.ORGANIZATION: 1,
    catalogue.STEP_TYPE: 3,
    catalogue.TASK_TYPE: 4,
}
"""How many values a label has within one pipeline, but for `status`: the metric tells."""
STATUSES = {
    "pipeline": len(catalogue.RunStatus),
    "task": len(catalogue.TaskStatus),
}


@dataclass(frozen=True)
class Facts:
    """What was measured, and what is computed from it for any scale."""

    collector: Mapping[str, Any]
    """docs/benchmarks/collector.json."""
    volume: Mapping[str, Any]
    """docs/benchmarks/volume.json."""
    demo: Mapping[str, Any]
    """docs/benchmarks/demo.json."""
    gateway: Mapping[str, Any]
    """docs/benchmarks/gateway.json."""

    @cached_property
    def of_a_run(self) -> dict[str, float]:
        """Return how many spans and records a run causes, all that happens around it included."""
        runs = self.volume["runs"]
        return {"traces": self.volume["spans"] / runs, "logs": self.volume["log_records"] / runs}

    @cached_property
    def record_days(self) -> float:
        """Return for how many days all records of a run together are kept."""
        volume = self.volume
        numbers = {"errors_kept": volume["error_records"], "audit_kept": volume["audit_events"]}
        numbers["logs_kept"] = volume["log_records"] - sum(numbers.values())
        days = sum(number * STATED[kept].value for kept, number in numbers.items())
        return float(days / volume["runs"])

    @cached_property
    def runs_of_a_host(self) -> float:
        """Return how many runs a minute a host executes."""
        results = self.demo["results"]
        by_core: float = results["runs"] / results["seconds"] * MINUTE / self.demo["cores"]
        return by_core * STATED["host_cores"].value

    def figure(self, path: str, signal: str) -> Mapping[str, Any]:
        """Return what one path did with one signal."""
        (found,) = (
            each
            for each in self.collector["figures"]
            if (each["path"], each["signal"]) == (path, signal)
        )
        return dict(found)

    def rate(self, path: str, signal: str, process: str) -> int:
        """Return how many items of a signal a process does in a CPU second."""
        return int(self.figure(path, signal)["processes"][process]["items_per_cpu_second"])

    def cores(self, path: str, process: str, rates: Mapping[str, float]) -> float:
        """Return the cores that a process needs for these items a second."""
        needed = sum(rate / self.rate(path, signal, process) for signal, rate in rates.items())
        return needed / STATED["busy"].value


@dataclass(frozen=True, slots=True)
class Size:
    """Everything for one scale."""

    hosts: int
    """Hosts that execute tasks, each with an agent."""
    pipelines: int
    """Different pipelines that run."""
    series: int
    """Series in Prometheus, at most."""
    rates: dict[str, float]
    """Items a second, by signal."""
    single_node_cores: float
    """Cores of one Collector that does it all."""
    agent_cores: float
    """Cores of each agent."""
    gateway_cores: float
    """Cores of all gateways together."""
    gateways: int
    """Gateways."""
    partitions: int
    """Partitions of each topic."""
    elasticsearch_cores: float
    """Cores that write log records."""
    jaeger_cores: float
    """Cores that take spans."""
    bytes_a_second: float
    """OTLP, not compressed."""
    queue: float
    """Bytes that wait while the backends are away."""
    largest_queue: float
    """Of these, what waits for one backend: the one that gets most."""
    kafka: float
    """Bytes that Kafka writes in a day, one replica."""
    records_stored: float
    """Bytes of the log records that are kept."""
    shards: int
    """Primary shards of the log records."""


def of_a_pipeline() -> tuple[int, int]:
    """Return how many series one pipeline has in Prometheus, and in OTLP, from one writer."""
    prometheus = otlp = 0
    for metric in catalogue.METRICS.values():
        if catalogue.PIPELINE_NAME not in metric.attributes:
            continue
        room = metric.name.partition(".")[0]
        series = prod(
            STATUSES[room] if label == catalogue.STATUS else VALUES[label]
            for label in metric.attributes
        )
        otlp += series
        # A histogram: its buckets, +Inf, sum and count.
        prometheus += series * (len(metric.buckets) + 3 if metric.buckets else 1)
    return prometheus, otlp


def size(facts: Facts, runs: int) -> Size:
    """Compute what so many runs a minute need."""
    hosts = ceil(runs / facts.runs_of_a_host)
    bound = catalogue.BOUNDS[catalogue.PIPELINE_NAME]
    pipelines = min(bound, ceil(runs / STATED["each_pipeline"].value))
    prometheus, otlp = of_a_pipeline()
    rates = {signal: each * runs / MINUTE for signal, each in facts.of_a_run.items()}
    rates["metrics"] = hosts * pipelines * otlp / STATED["interval"].value
    gateway_cores = facts.cores("kafka", "gateway", rates)
    gateways = max(
        int(STATED["least_gateways"].value), ceil(gateway_cores / STATED["gateway_cores"].value)
    )
    flows = [facts.figure("single-node", s)["bytes_per_item"] * rates[s] for s in SIGNALS]
    stored = facts.figure("single-node", "logs")["stored_bytes_per_item"]
    kept = runs / MINUTE * DAY * facts.record_days * stored
    outage = STATED["outage"].value * 3600
    logs, traces = ({signal: rates[signal]} for signal in ("logs", "traces"))
    return Size(
        hosts=hosts,
        pipelines=pipelines,
        series=hosts * pipelines * prometheus,
        rates=rates,
        single_node_cores=facts.cores("single-node", "collector", rates),
        agent_cores=facts.cores("kafka", "agent", rates) / hosts,
        gateway_cores=gateway_cores,
        gateways=gateways,
        partitions=max(
            int(STATED["least_partitions"].value), int(gateways * STATED["growth"].value)
        ),
        elasticsearch_cores=facts.cores("single-node", "elasticsearch", logs),
        jaeger_cores=facts.cores("single-node", "jaeger", traces),
        bytes_a_second=sum(flows),
        queue=sum(flows) * outage,
        largest_queue=max(flows) * outage,
        kafka=sum(
            facts.figure("kafka", s)["stored_bytes_per_item"] * rates[s] for s in SIGNALS
        ) * DAY,
        records_stored=kept,
        shards=max(1, ceil(kept / (STATED["shard"].value * GIGABYTE))),
    )  # fmt: skip
