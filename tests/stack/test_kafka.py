"""Agent, Kafka, two gateways: a gateway that is killed during traffic costs nothing of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from support.stack import Collector, Stack, eventually
from support.stack.emitter import Arrived, Emitter
from support.stack.kafka import Kafka
from support.stack.product import PRODUCT

ROUNDS = 200
GATEWAY = [PRODUCT / "gateway.yaml", PRODUCT / "gateway-kafka.yaml"]
AGENT = [PRODUCT / "agent.yaml", PRODUCT / "agent-kafka.yaml"]


@dataclass(frozen=True)
class Topology:
    """One agent, Kafka, two gateways, the backends."""

    stack: Stack
    """The backends, and the first gateway as its Collector."""
    other: Collector
    """The second gateway, of the same group."""
    agent: Collector
    """What applications send to."""

    def shares(self) -> tuple[float, float]:
        """Return how many spans each gateway has taken from Kafka."""
        name = "otelcol_receiver_accepted_spans"
        first, second = (
            sum(each.ask.values(name, "receiver").values())
            for each in (self.stack.collector, self.other)
        )
        return first, second


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """Start everything."""
    folder = tmp_path_factory.mktemp("kafka")
    stack = Stack(folder, configs=GATEWAY, more=[Kafka(folder)])
    other = Collector(folder / "other", configs=GATEWAY)
    agent = Collector(folder / "agent", configs=AGENT)
    for backend in stack.backends:
        other.variables.update(backend.for_collector())
        agent.variables.update(backend.for_collector())
    with stack, other, agent:
        yield Topology(stack, other, agent)


def test_gateway_killed_during_traffic_loses_nothing_of_runs(topology: Topology) -> None:
    """The other one takes its partitions; what was in its queues comes when it is back."""
    with Emitter(topology.agent.otlp_http, runs=True) as emitter:
        emitter.go_on(ROUNDS)
        eventually("both have a share", lambda: all(topology.shares()))
        topology.other.kill()
        emitter.go_on(ROUNDS)
        topology.other.start()
        emitter.go_on(ROUNDS)
        emitted = emitter.end()
        once = Counter(range(emitted.rounds))
        expected = Arrived(once, once, emitted.rounds)
        # The group takes up to a minute to give the partitions of the killed one to the other.
        with suppress(TimeoutError):
            eventually("all of it", lambda: emitter.arrived(topology.stack) == expected)
        assert (emitter.arrived(topology.stack), emitted.drops) == (expected, {})
