"""Agents and gateways: runs are kept whole, the rest is sampled, each process has one gateway."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.process import run
from support.stack import Collector, Stack, eventually, losses
from support.stack.ask import http
from support.stack.emitter import Emitter
from support.stack.losses import Outcome
from support.stack.product import PRODUCT
from support.stack.topology import OF_A_RUN, Topology, process, span, spans, trace_ids

ROUNDS = 100
FEW = 300
"""Traces that are sampled by share: ten in a hundred are kept."""
SOON_AS_A_WHOLE = {
    "exporters": {
        "load_balancing/gateway": {
            "protocol": {
                "otlp": {"retry_on_failure": {"max_interval": "1s", "max_elapsed_time": "1s"}}
            }
        }
    }
}
"""The agent tries a gateway alone for a second, not 20; then all of the batch once more."""
RUN = """
import time
from opentelemetry import trace
from etl_telemetry import pipeline_run, setup_telemetry, span, step
handle = setup_telemetry(service_name="etl")
with pipeline_run("daily", organization="acme", run_id="77") as run:
    with step("extract"):
        with trace.get_tracer("a database client").start_as_current_span("SELECT"):
            pass
        handle.force_flush(20)
        time.sleep(5)            # The gateways have decided long before the run ends.
    with step("load"):
        pass
handle.shutdown(20)
print(run.trace_id)
"""


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """Start everything, with a short wait for decisions."""
    folder = tmp_path_factory.mktemp("topology")
    stack = Stack(folder, configs=[PRODUCT / "gateway.yaml"])
    other = Collector(folder / "other", configs=[PRODUCT / "gateway.yaml"])
    agent = Collector(folder / "agent", configs=[PRODUCT / "agent.yaml"])
    for gateway in (stack.collector, other):
        gateway.variables["ETL_SAMPLING_WAIT"] = "1s"
    hosts = [f"127.0.0.1:{each.ports['grpc']}" for each in (stack.collector, other)]
    agent.variables["ETL_GATEWAY_HOSTS"] = ",".join(hosts)
    with Topology(stack, other, agent) as topology:
        yield topology


def kept(topology: Topology, service: str) -> dict[str, list[str]]:
    """Return the names of the spans that Jaeger has, by trace."""
    topology.settle()
    time.sleep(3)  # Nothing waits for a decision any more.
    topology.stack.settle()
    return topology.found(service)


def test_errors_and_what_is_slow_are_kept_and_a_share_of_the_rest(topology: Topology) -> None:
    """A trace is kept with all its spans, or not at all, though they come one by one."""
    bad, slow, *others = trace_ids(2 + FEW)
    topology.send("traces", spans("web", [span(bad, "a"), span(slow, "a", seconds=6)]))
    topology.send("traces", spans("web", [span(trace, "a") for trace in others]))
    topology.send("traces", spans("web", [span(trace, "b") for trace in others]))
    topology.send("traces", spans("web", [span(slow, "b"), span(bad, "b", status={"code": 2})]))
    found = kept(topology, "web")
    assert (found.pop(bad), found.pop(slow)) == (["a", "b"], ["a", "b"])
    assert set(map(tuple, found.values())) == {("a", "b")}
    assert 0 < len(found) < FEW / 3  # 30 of 300 by chance: not none, and not many.
    assert all(gateway.ask.values("otelcol_receiver_accepted_spans", "receiver")["otlp",]
               for gateway in topology.gateways)  # fmt: skip


def test_run_is_kept_whole_though_it_outlives_every_decision(topology: Topology) -> None:
    """The library's own spans, and one of a client that knows nothing of runs, by their mark."""
    done = run(RUN, topology.agent.otlp_http)
    assert done.returncode == 0, done.stderr
    assert kept(topology, "etl") == {
        done.stdout.strip(): ["SELECT", "pipeline run daily", "step extract", "step load"]
    }


def test_spans_are_counted_before_they_are_sampled(topology: Topology) -> None:
    """Rates of requests are true, however few traces are kept."""
    for trace in trace_ids(FEW):
        topology.send("traces", spans("counted", [span(trace, "GET /")]))
    query = 'sum(traces_span_metrics_calls_total{service_name="counted"})'
    ask = topology.stack.prometheus.ask
    eventually("all are counted", lambda: ask.values(query) == {(): FEW})
    assert len(kept(topology, "counted")) < FEW / 3


def points_of(topology: Topology) -> list[float]:
    """Return how many points of metrics each gateway has taken."""
    name = "otelcol_receiver_accepted_metric_points"
    return [each.ask.values(name, "receiver").get(("otlp",), 0) for each in topology.gateways]


def test_each_process_has_one_gateway_for_its_metrics(topology: Topology) -> None:
    """Points of a series stay in order, and every process arrives."""
    now, before = time.time_ns(), points_of(topology)
    for total in (1, 2, 3):
        for number in range(20):
            point = {
                "asInt": str(total),
                "startTimeUnixNano": str(now - 10**10),
                "timeUnixNano": str(now + total * 10**9),
            }
            counter = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}
            metric = {"name": "jobs", "unit": "{job}", "sum": counter}
            own = process("jobs", f"process-{number}")
            scopes = [{"metrics": [metric]}]
            body = {"resourceMetrics": [{"resource": own, "scopeMetrics": scopes}]}
            topology.send("metrics", body)
    ask = topology.stack.prometheus.ask
    eventually(
        "every process has arrived",
        lambda: ask.values("count(jobs_total == 3)", at=now / 1e9 + 5) == {(): 20},
    )
    eventually("all are counted", lambda: sum(points_of(topology)) == sum(before) + 60)
    own = [after - earlier for after, earlier in zip(points_of(topology), before, strict=True)]
    assert all(own), "one gateway has everything"
    assert all(points % 3 == 0 for points in own), "a process was divided"


def test_record_has_one_id_from_the_agent_on(topology: Topology) -> None:
    """Gateways leave the agent's id alone: what an agent repeats is the same document."""
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": "x"}}
    for number in range(10):
        scopes = [{"logRecords": [record] * 5}]
        own = process("logging", f"process-{number}")
        topology.send("logs", {"resourceLogs": [{"resource": own, "scopeLogs": scopes}]})
    topology.settle()
    ask = topology.stack.elasticsearch.ask
    query = {"term": {"resource.attributes.service.name": "logging"}}
    eventually("all arrive", lambda: ask.count("logs-*", query) == 50)


def test_agent_keeps_what_it_has_while_gateways_are_away(
    topology: Topology, tmp_path: Path
) -> None:
    """The durable hop: killed and started again, it delivers when a gateway is there."""
    gateway = Collector(tmp_path / "gateway", configs=[PRODUCT / "gateway.yaml"])
    for backend in topology.stack.backends:
        gateway.variables.update(backend.for_collector())
    agent = Collector(tmp_path / "agent", configs=[PRODUCT / "agent.yaml"])
    agent.variables["ETL_GATEWAY_HOSTS"] = f"127.0.0.1:{gateway.ports['grpc']}"
    ids = trace_ids(20)
    with agent, gateway:
        gateway.stop()
        for trace in ids:
            body = spans("durable", [span(trace, "a", traceState="etl=run")])
            http.send("POST", f"{agent.otlp_http}/v1/traces", body)
        agent.kill()
        agent.start()
        gateway.start()
        eventually("all arrive", lambda: set(kept(topology, "durable")) == set(ids))
    assert Counter(map(tuple, kept(topology, "durable").values())) == {("a",): 20}


def test_gateway_killed_during_traffic_loses_nothing_of_runs(topology: Topology) -> None:
    """The agent keeps what it has and sends again; what the other one had already is there once."""
    with Emitter(topology.agent.otlp_http, runs=True) as emitter:
        emitter.go_on(ROUNDS)
        topology.other.kill()
        emitter.go_on(ROUNDS)
        eventually("something waits", lambda: topology.agent.waiting() > 0)
        topology.other.start()
        emitter.go_on(ROUNDS)
        # The agent tries again once in 30 s at the latest, and gateways write with a queue.
        outcome = losses.end(emitter, topology.stack, patience=120)
    assert outcome == Outcome.whole(outcome.rounds)


def counted(topology: Topology, service: str) -> list[int]:
    """Return how many spans of a service the span metrics of each gateway count, sorted."""
    calls = f'traces_span_metrics_calls_total{{service_name="{service}"}}'
    found = topology.stack.prometheus.ask.values(
        f"sum by (collector_instance_id) ({calls}) > 0", "collector_instance_id"
    )
    return sorted(map(int, found.values()))


def test_span_that_a_gateway_takes_twice_is_there_once_and_counted_twice(
    topology: Topology,
) -> None:
    """What cannot be made harmless is known: gateways say how many spans they took, and count so.

    One of two is away for longer than the agent tries it alone, so the other one gets its share
    of the batch with each try of the whole.
    """
    (first, _), ids = topology.taken(), trace_ids(FEW)
    with topology.agent.changed(SOON_AS_A_WHOLE):
        topology.other.stop()
        topology.send("traces", spans("twice", [span(i, "a", **OF_A_RUN) for i in ids]))
        eventually("one is sent all again", lambda: topology.taken()[0] - first > FEW)
        topology.other.start()
        topology.settle()
    taken = sorted([topology.taken()[0] - first, topology.taken()[1]])
    assert sum(taken) > FEW
    eventually("as many are counted", lambda: counted(topology, "twice") == taken)
    assert Counter(map(tuple, topology.found("twice").values())) == {("a",): FEW}


def test_what_waits_for_a_decision_in_a_gateway_that_is_killed_is_lost(topology: Topology) -> None:
    """All of that, and nothing else: what cannot be kept, as the explanation says."""
    topology.sample(percent=100)
    topology.warm_up()
    ids = trace_ids(FEW)
    kept_ones, lost = topology.hand_over("waiting", [span(i, "a") for i in ids])
    topology.other.kill()
    topology.other.start()
    topology.hand_over("waiting", [span(i, "b") for i in ids])
    topology.decide()
    assert min(kept_ones, lost) > 0
    assert Counter(map(tuple, topology.found("waiting").values())) == {
        ("a", "b"): kept_ones, ("b",): lost,
    }  # fmt: skip
