"""What goes wrong while an application emits, and what the backends have of it afterwards.

Each function does one thing to a running stack and returns the `Outcome`. A test compares it with
`Outcome.whole`: every span, record, audit event and count is there once, and the application
dropped nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from support.stack.emitter import Arrived, Emitted, Emitter
from support.stack.engine import Engine
from support.stack.patience import eventually
from support.stack.product import PRODUCT
from support.stack.refusing import Answer, Refusing
from support.stack.stack import Stack

ROUNDS = 300
"""Rounds between two events: several exports of each signal."""
FEW, SLOW = 60, 0.05
"""Rounds, and seconds between two, where the Collector restarts: the application drops nothing."""
PATIENT = 30.0
"""Seconds for what the queues have handed on to be found; less where something will be missing."""

SPAN = {"resourceSpans": [{"scopeSpans": [{"spans": [
    {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "x"}
]}]}]}  # fmt: skip
"""A request with one span, of nobody."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an application emitted and dropped, and what the backends have of it."""

    rounds: int
    """How many spans, records, audit events and counts it emitted."""
    drops: Mapping[str, int]
    """What it counted as dropped, by reason."""
    arrived: Arrived
    """What the backends have."""

    @classmethod
    def whole(cls, rounds: int) -> Self:
        """Return the outcome in which everything is there once."""
        once = Counter(range(rounds))
        return cls(rounds, {}, Arrived(once, once, once, rounds))

    @property
    def is_whole(self) -> bool:
        """Say whether everything is there once."""
        return self == self.whole(self.rounds)

    @property
    def lost(self) -> int:
        """Return how many spans, records and audit events are nowhere."""
        return 3 * self.rounds - sum(map(len, self._items))

    @property
    def doubled(self) -> int:
        """Return how many spans, records and audit events are there more often than once."""
        return sum(number > 1 for each in self._items for number in each.values())

    @property
    def _items(self) -> tuple[Counter[int], ...]:
        return self.arrived.spans, self.arrived.records, self.arrived.audits


def end(
    emitter: Emitter,
    stack: Stack,
    *,
    patience: float = PATIENT,
    arrived: Callable[[], Arrived] | None = None,
) -> Outcome:
    """End the application and return what arrived, at once when it is everything.

    `arrived` asks other backends than the usual ones.
    """
    emitted: Emitted = emitter.end()
    stack.settle()

    def outcome() -> Outcome:
        found = emitter.arrived(stack) if arrived is None else arrived()
        return Outcome(emitted.rounds, emitted.drops, found)

    with suppress(TimeoutError):
        # Not at once again: each look reads all spans and records.
        eventually("all of it", lambda: outcome().is_whole, timeout=patience, every=2)
    return outcome()


def every_count_arrives(emitter: Emitter, stack: Stack, rounds: int) -> None:
    """Wait until Prometheus has the whole sum: an export that is lost is made good by the next."""
    eventually("every count arrives", lambda: emitter.counted(stack) == rounds)


def for_longer_than_the_application_tries() -> None:
    """Let 20 s pass: an exporter tries for ten."""
    until = time.monotonic() + 20
    eventually("20 s pass", lambda: time.monotonic() > until)


def kill_collector(stack: Stack) -> Outcome:
    """Kill the Collector three times during traffic."""
    with Emitter(stack.collector.otlp_http) as emitter:
        for _ in range(3):
            emitter.go_on(ROUNDS)
            stack.collector.kill()
            stack.collector.start()
        emitter.go_on(ROUNDS)
        return end(emitter, stack)


def stop_backend(
    stack: Stack, backend: Engine, *, killed: bool = True, patience: float = PATIENT
) -> Outcome:
    """Let a backend be away, and kill the Collector meanwhile unless told otherwise.

    What waits is on the disk then, or nowhere. The application ends before the backend is there
    again: sums that it sent later would make good what had been lost.
    """
    backend.stop()
    with Emitter(stack.collector.otlp_http) as emitter:
        emitter.go_on(2 * ROUNDS)
        emitter.end()
        if killed:
            eventually("something waits", lambda: stack.collector.waiting() > 0)
            stack.collector.kill()
            stack.collector.start()
        backend.start()
        return end(emitter, stack, patience=patience)


def disturb_elasticsearch(
    stack: Stack, answer: Answer, *, times: int = 3, patience: float = PATIENT
) -> Outcome:
    """Let something between Collector and Elasticsearch answer so for a while."""
    with (
        Refusing(stack.elasticsearch.address("http"), answer) as between,
        stack.collector.changed(ELASTICSEARCH_ENDPOINT=between.address),
        Emitter(stack.collector.otlp_http) as emitter,
    ):
        emitter.go_on(ROUNDS)
        eventually("it is disturbed", lambda: between.disturbed >= times)
        emitter.go_on(ROUNDS)
        between.answer = None
        return end(emitter, stack, patience=patience)


def swap_traces(stack: Stack, *, patience: float = PATIENT) -> Outcome:
    """Swap Jaeger, which is away, for Elasticsearch; when it is there again, send to both."""
    usual = list(stack.collector.configs)
    new = [*usual, PRODUCT / "overlays" / "traces-elasticsearch.yaml"]
    both = [*new, PRODUCT / "overlays" / "both" / "traces-elasticsearch.yaml"]
    stack.jaeger.stop()
    with Emitter(stack.collector.otlp_http, pace=SLOW) as emitter:

        def arrived() -> Arrived:
            found = emitter.arrived(stack)
            spans = stack.elasticsearch.ask.terms("traces-*", "attributes.number", emitter.own)
            return replace(found, spans=found.spans | Counter(spans))

        def go_on(configs: list[Path]) -> None:
            stack.collector.configs = configs
            stack.collector.restart()
            emitter.go_on(FEW)

        try:
            emitter.go_on(FEW)
            eventually("something waits", lambda: stack.collector.waiting() > 0)
            go_on(new)
            stack.jaeger.start()
            go_on(both)
            return end(emitter, stack, patience=patience, arrived=arrived)
        finally:
            stack.collector.configs = usual
            stack.collector.restart()
