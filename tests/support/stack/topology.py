"""One agent, two gateways and the backends, and traces that are sent through all of it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.stack.ask import http
from support.stack.collector import Collector
from support.stack.patience import eventually
from support.stack.stack import Stack
from support.stack.startable import Startable

ERROR = {"status": {"code": 2}}
"""More of a span: it failed, so its trace is kept."""
OF_A_RUN = {"traceState": "etl=run"}
"""More of a span: it belongs to a run, so nobody decides on it."""
NEVER = "3600s"
"""A wait for decisions that no test lives to see."""


@dataclass
class Topology(Startable):
    """The agent sends to two gateways; which way is a matter of their configurations."""

    stack: Stack
    """The backends, and the first gateway as its Collector."""
    other: Collector
    """The second gateway."""
    agent: Collector
    """What applications send to."""

    def __post_init__(self) -> None:
        for backend in self.stack.backends:
            self.other.variables.update(backend.for_collector())
            self.agent.variables.update(backend.for_collector())

    @property
    def gateways(self) -> tuple[Collector, Collector]:
        """Return both gateways."""
        return (self.stack.collector, self.other)

    def start(self) -> Topology:
        """Start everything."""
        self.stack.start()
        self.other.start()
        self.agent.start()
        return self

    def stop(self) -> None:
        """Stop everything, in the order in which data flows."""
        self.agent.stop()
        self.other.stop()
        self.stack.stop()

    def send(self, signal: str, body: dict[str, Any]) -> None:
        """Give the agent something."""
        http.send("POST", f"{self.agent.otlp_http}/v1/{signal}", body)

    def taken(self) -> tuple[int, int]:
        """Return how many spans each gateway has taken since its start; one that is killed none."""
        name = "otelcol_receiver_accepted_spans"
        first, second = (
            int(sum(each.ask.values(name, "receiver").values())) if each.is_alive else 0
            for each in self.gateways
        )
        return first, second

    def sample(self, *, percent: int) -> None:
        """Restart both gateways: they keep that share, and decide when they are stopped."""
        for each in self.gateways:
            each.variables["ETL_SAMPLING_PERCENT"] = str(percent)
            each.variables["ETL_SAMPLING_WAIT"] = NEVER
            each.restart()

    def warm_up(self) -> None:
        """Send spans of runs until both gateways get their share of them, and all are taken.

        From then on no partition changes hands until a gateway ends.
        """
        before, sent = self.taken(), 0

        def both_have_a_share() -> bool:
            nonlocal sent
            traces = [span(trace, "warm", **OF_A_RUN) for trace in trace_ids(50)]
            self.send("traces", spans("warm-up", traces))
            sent += len(traces)
            return all(now > then for now, then in zip(self.taken(), before, strict=True))

        eventually("both get a share", both_have_a_share, every=1)
        eventually("all is taken", lambda: sum(self.taken()) >= sum(before) + sent)

    def hand_over(self, service: str, each: Sequence[dict[str, Any]]) -> tuple[int, int]:
        """Send spans; return how many of them each gateway has taken, when they all are."""
        before = self.taken()
        self.send("traces", spans(service, each))
        eventually("all is taken", lambda: sum(self.taken()) >= sum(before) + len(each))
        first, second = (now - then for now, then in zip(self.taken(), before, strict=True))
        return first, second

    def decide(self) -> None:
        """Stop both gateways, by which they decide on all traces, and start them again."""
        for each in self.gateways:
            each.stop()
        for each in self.gateways:
            each.start()
        self.settle()

    def settle(self) -> None:
        """Wait until no queue holds anything."""
        for each in (self.agent, *self.gateways):
            eventually("queues get empty", lambda each=each: each.waiting() == 0)

    def found(self, service: str) -> dict[str, list[str]]:
        """Return the names of the spans that Jaeger has, by trace."""
        end = time.time()
        ask = self.stack.jaeger.ask
        found = ask.search(service, start=end - 3600, end=end, limit=10_000)
        return {trace: sorted(span.name for span in spans) for trace, spans in found.items()}


def spans(service: str, each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a request with spans."""
    return {"resourceSpans": [{"resource": process(service), "scopeSpans": [{"spans": each}]}]}


def process(service: str, instance: str = "one") -> dict[str, Any]:
    """Return what a process says about itself."""
    pairs = {"service.name": service, "service.instance.id": instance}
    return {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in pairs.items()]}


def span(trace: str, name: str, *, seconds: float = 0.01, **more: Any) -> dict[str, Any]:
    """Return a span."""
    end = time.time_ns()
    return {
        "traceId": trace,
        "spanId": f"{random.getrandbits(64):016x}",
        "name": name,
        "startTimeUnixNano": str(end - int(seconds * 1e9)),
        "endTimeUnixNano": str(end),
        **more,
    }


def trace_ids(number: int) -> list[str]:
    """Return ids of traces."""
    return [f"{random.getrandbits(128):032x}" for _ in range(number)]
