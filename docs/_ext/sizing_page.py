"""Write docs/how-to/sizing.md: `python docs/_ext/sizing_page.py`. `sizing.py` has the numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sizing import GIGABYTE, SIGNALS, STATED, VALUES, Facts, of_a_pipeline, size

from etl_telemetry import catalogue

DOCS = Path(__file__).parents[1]
MEASURED = DOCS / "benchmarks"
PAGE = DOCS / "how-to" / "sizing.md"
SCALES = (10, 1_000, 100_000)
"""Runs a minute."""
FILES = ("collector", "volume", "demo", "gateway")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MEGABYTE = 10**6
TEXT = """<!-- Written by docs/_ext/sizing_page.py; the numbers are in sizing.py there. -->
# Size it

How many agents, partitions, gateways, shards and series for how many runs. Every figure is
computed from what was measured and from what is stated below, by the formula beside it. Put your
own numbers into `docs/_ext/sizing.py` and run `python docs/_ext/sizing_page.py`.

{sizes}

Where "single node, cores" is below the cores of one machine, `single-node.yaml` does it, and you
need no gateways. A queue takes `ETL_QUEUE_BYTES`, by default 1 GB, and refuses more: set it to what
the largest queue needs, divided by the number of Collectors that have one.

Series and points are those of the pipelines, and of these the most there can be: each host has run
every pipeline since it started. Not in them are the metrics of HTTP, databases, connectors, queues
and task durations, and the Collector's span metrics: `M2` says how many there were in all. What
Kafka and Elasticsearch keep was measured with items that are much alike: yours compress less.

## Measured

`M1`: [what the Collector does](../benchmarks/collector.md) with one CPU second, {date}, by
`{collector_command}`:

{rates}

`M2`: what the example platform sends, {volume_date}, by `{volume_command}`: {runs} runs,
{tasks} task deliveries, {spans:,} spans and {records:,} log records, of which {errors:,} errors and
{audits:,} audit events, the web requests around them included, and {series:,} series in OTLP, of
all its metrics (span metrics are the Collector's): {spans_of_a_run:.1f} spans and
{records_of_a_run:.1f} records a run.

`M3`: the example platform executes its {demo_runs} runs in {seconds:g} s on {cores} cores,
{demo_date}, by `{demo_command}`; so a host of {host_cores:g} cores executes
{runs_of_a_host:.0f} runs a minute.
Yours have other tasks: this is the number to replace first.

All spans of `M1` are marked as those of runs, so none of them passes `tail_sampling`: the cores and
the memory of gateways are for runs only. What waits for its decision takes more, not measured yet.

### Why a gateway does fewer spans

Behind Kafka a gateway does {less:.1f} times fewer spans in a CPU second than a single node (`M1`),
but as many log records and points. It is no other work, it is smaller messages. Kafka gives all
spans of a trace to one gateway (`partition_traces_by_id`), for which the agent makes a message of
each trace, here of {spans_of_a_trace} spans. A message is done when it is on the gateway's disk, so
each is an entry of its own in the queue, with an `fsync`. The single node does that once for a
request of {spans_of_a_request} spans; records and points come in messages of a process. With one
line of the configuration changed, {gateway_date}, by `{gateway_command}`:

{why}

Each change costs something: decisions on whole traces, or what is in the queue when a machine or
a process ends. Traces with more spans at a time make fewer messages: those of the benchmark are
short.

## Counted

`C1`: a pipeline has at most {prometheus} series in Prometheus, {otlp} in OTLP, from one writer:
the labels of each metric of the [catalogue](../reference/catalogue.md) with `pipeline.name`,
multiplied ({values}; every status). Past {bound:,} pipelines the label is `other`.

## Stated

{stated}
"""


def rows(facts: Facts) -> Iterator[Sequence[str]]:
    """Return a row for each figure: its name, its formula, and its value at each scale."""
    sizes = [size(facts, runs) for runs in SCALES]

    def row(name: str, formula: str, values: Sequence[float], form: str = ",.0f") -> list[str]:
        return [name, formula, *(format(value, form) for value in values)]

    def each(name: str) -> list[float]:
        return [getattr(found, name) for found in sizes]

    def rate(signal: str) -> list[float]:
        return [found.rates[signal] for found in sizes]

    letter = {name: LETTERS[number] for number, name in enumerate(STATED)}
    kept = ", ".join(letter[f"{kind}_kept"] for kind in ("logs", "errors", "audit"))
    busy = letter["busy"]
    yield row("agents (hosts)", f"runs / M3 (with {letter['host_cores']})", each("hosts"))
    yield row("pipelines", f"runs / {letter['each_pipeline']}, at most C1", each("pipelines"))
    yield row("spans/s", "runs / 60 * M2", rate("traces"), ",.1f")
    yield row("log records/s", "runs / 60 * M2", rate("logs"), ",.1f")
    yield row("series in Prometheus", "agents * pipelines * C1", each("series"))
    yield row(
        "metric points/s",
        f"agents * pipelines * C1 / {letter['interval']}",
        rate("metrics"),
        ",.1f",
    )
    yield row("single node, cores", f"Σ items/s / M1 / {busy}", each("single_node_cores"), ",.2f")
    yield row("one agent, cores", f"Σ items/s / M1 / {busy} / agents", each("agent_cores"), ",.3f")
    yield row("gateways, cores", f"Σ items/s / M1 / {busy}", each("gateway_cores"), ",.2f")
    yield row(
        "gateways",
        f"cores / {letter['gateway_cores']}, at least {letter['least_gateways']}",
        each("gateways"),
    )
    yield row(
        "partitions of a topic",
        f"gateways * {letter['growth']}, at least {letter['least_partitions']}",
        each("partitions"),
    )
    yield row(
        "OTLP, MB/s", "Σ items/s * M1", [v / MEGABYTE for v in each("bytes_a_second")], ",.2f"
    )
    yield row(
        "queues on disk, all machines, GB", f"MB/s * {letter['outage']}",
        [v / GIGABYTE for v in each("queue")], ",.1f",
    )  # fmt: skip
    yield row(
        "largest queue, all machines, GB", f"the most of one signal, MB/s * {letter['outage']}",
        [v / GIGABYTE for v in each("largest_queue")], ",.1f",
    )  # fmt: skip
    yield row(
        "Kafka, GB a day and replica", "Σ items/s * M1 * 1 day",
        [v / GIGABYTE for v in each("kafka")], ",.1f",
    )  # fmt: skip
    yield row(
        "Elasticsearch, cores to write", f"records/s / M1 / {busy}",
        each("elasticsearch_cores"), ",.2f",
    )  # fmt: skip
    yield row(
        "log records kept, GB", f"records/s * M1 * ({kept})",
        [v / GIGABYTE for v in each("records_stored")], ",.0f",
    )  # fmt: skip
    yield row("primary shards", f"GB kept / {letter['shard']}", each("shards"))
    yield row("Jaeger, cores to write", f"spans/s / M1 / {busy}", each("jaeger_cores"), ",.2f")


def measured_rates(facts: Facts) -> Iterator[Sequence[str]]:
    """Return a row for each process of each way."""
    for path, process in (
        ("single-node", "collector"), ("kafka", "agent"), ("kafka", "gateway"),
        ("single-node", "elasticsearch"), ("single-node", "jaeger"),
    ):  # fmt: skip
        yield [path, process, *(_rate(facts, path, signal, process) for signal in SIGNALS)]


def changes(facts: Facts) -> Iterator[Sequence[str]]:
    """Return a row for each change of the configuration, and for what a single node does."""
    for each in facts.gateway["figures"]:
        yield [f"gateway, {each['change']}", f"{each['items_per_cpu_second']:,}"]
    yield ["single node (`M1`)", f"{facts.rate('single-node', 'traces', 'collector'):,}"]


def _rate(facts: Facts, path: str, signal: str, process: str) -> str:
    found = facts.figure(path, signal)["processes"].get(process)
    return f"{found['items_per_cpu_second']:,}" if found else "-"


def table(heads: Sequence[str], body: Iterator[Sequence[str]], *, numbers: int) -> str:
    """Return a Markdown table, the last columns of which are numbers."""
    line = [" --- "] * (len(heads) - numbers) + [" --: "] * numbers
    found = [heads, *body]
    lines = ["| " + " | ".join(row) + " |" for row in found]
    return "\n".join([lines[0], "|" + "|".join(line) + "|", *lines[1:]])


def read() -> Facts:
    """Return the facts, from their files."""
    return Facts(**{name: json.loads((MEASURED / f"{name}.json").read_text()) for name in FILES})


def page(facts: Facts) -> str:
    """Return the page."""
    prometheus, otlp = of_a_pipeline()
    stated = [
        [LETTERS[number], f"{each.value:g}", each.meaning, each.reason]
        for number, each in enumerate(STATED.values())
    ]
    heads = ["", "from", *(f"{runs:,} runs/min" for runs in SCALES)]
    return TEXT.format(
        sizes=table(heads, rows(facts), numbers=len(SCALES)),
        date=facts.collector["date"],
        collector_command=facts.collector["command"],
        rates=table(
            ["way", "process", "spans", "log records", "metric points"],
            measured_rates(facts), numbers=3,
        ),
        less=facts.rate("single-node", "traces", "collector")
        / facts.rate("kafka", "traces", "gateway"),
        spans_of_a_trace=facts.gateway["spans_of_a_trace"],
        spans_of_a_request=facts.gateway["spans_of_a_request"],
        gateway_date=facts.gateway["date"],
        gateway_command=facts.gateway["command"],
        why=table(["", "spans in a CPU second"], changes(facts), numbers=1),
        volume_command=facts.volume["command"],
        volume_date=facts.volume["date"],
        series=facts.volume["series"],
        runs=facts.volume["runs"],
        tasks=facts.volume["tasks"],
        spans=facts.volume["spans"],
        records=facts.volume["log_records"],
        errors=facts.volume["error_records"],
        audits=facts.volume["audit_events"],
        spans_of_a_run=facts.of_a_run["traces"],
        records_of_a_run=facts.of_a_run["logs"],
        seconds=facts.demo["results"]["seconds"],
        cores=facts.demo["cores"],
        demo_command=facts.demo["command"],
        demo_date=facts.demo["date"],
        demo_runs=facts.demo["results"]["runs"],
        host_cores=STATED["host_cores"].value,
        runs_of_a_host=facts.runs_of_a_host,
        prometheus=prometheus,
        otlp=otlp,
        values=", ".join(f"{number} of `{label}`" for label, number in VALUES.items()),
        bound=catalogue.BOUNDS[catalogue.PIPELINE_NAME],
        stated=table(["", "value", "meaning", "why"], iter(stated), numbers=0),
    )  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(read()))
    sys.stdout.write(f"{PAGE} is written.\n")
