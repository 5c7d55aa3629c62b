"""Backends are swapped behind a running application: both answer alike, nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.engines import EngineMissing, locate
from support.stack import Stack, VictoriaMetrics, eventually
from support.stack.emitter import Emitter
from support.stack.loki import Loki
from support.stack.swap import Swap, there_and_back

PACE = 0.05
FAILED = 'sum(pipeline_executions_total{status="failed"})'
RATE = 'sum(rate(pipeline_executions_total{status="failed"}[10s]))'


def spans_in_elasticsearch(stack: Stack) -> set[int]:
    """Return the rounds that have a span there."""
    query = {"term": {"name": "round"}}
    return set(stack.elasticsearch.ask.terms("traces-*", "attributes.number", query))


def trace_of_run(stack: Stack, run_id: str) -> str:
    """Return the id of a run's trace, by its records in Elasticsearch."""
    query = {"term": {"attributes.pipeline.run.id": run_id}}
    (trace_id,) = stack.elasticsearch.ask.terms("logs-*", "trace_id", query)
    return str(trace_id)


def compare_metrics(stack: Stack, new: VictoriaMetrics) -> None:
    """Ask both for failed runs at one time.

    Their counts are equal; Prometheus extrapolates a rate to its window, VictoriaMetrics takes the
    value before the window, so rates are only close on a busy machine.
    """
    begin = time.time()
    eventually("a window of rates passes", lambda: time.time() > begin + 12)
    at = time.time() - 1
    asks = (stack.prometheus.ask, new.ask)

    def counts() -> list[float]:
        return [sum(s.value for s in ask.query(FAILED, at=at)) for ask in asks]

    def are_equal() -> bool:
        old, new = counts()
        return old == new > 0

    eventually("both have the same count", are_equal)
    old_rate, new_rate = (ask.query(RATE, at=at)[0].value for ask in asks)
    assert new_rate == pytest.approx(old_rate, rel=0.5)


def test_metrics_and_traces_move_and_come_back(tmp_path: Path) -> None:
    """Prometheus to VictoriaMetrics, Jaeger to Elasticsearch; each period reaches its backends."""
    metrics = VictoriaMetrics(tmp_path)
    with (
        Stack(tmp_path, more=[metrics]) as stack,
        Emitter(stack.collector.otlp_http, pace=PACE, runs=True) as emitter,
    ):
        swap = Swap(
            ("metrics-victoriametrics", "traces-elasticsearch"),
            old=lambda: set(emitter.arrived(stack).spans),
            new=lambda: spans_in_elasticsearch(stack),
        )

        def compare() -> None:
            compare_metrics(stack, metrics)
            trace_id = trace_of_run(stack, f"{emitter.service}-{max(swap.old() & swap.new())}")
            query = {"term": {"trace_id": trace_id}}

            def both() -> bool:
                old = {(s.span_id, s.name) for s in stack.jaeger.ask.trace(trace_id)}
                found = stack.elasticsearch.ask.documents("traces-*", query)
                return len(old) > 1 and old == {(s["span_id"], s["name"]) for s in found}

            eventually("both have the same trace", both)

        there_and_back(stack, emitter, swap, compare)
        emitted = emitter.end()
        stack.settle()
        everything = set(range(emitted.rounds))
        eventually("every span is somewhere", lambda: swap.old() | swap.new() == everything)
        eventually(
            "Prometheus has the last count",
            lambda: emitter.arrived(stack).counted == emitted.rounds,
        )
        failed = len(range(0, emitted.rounds, 3))
        assert [s.value for s in stack.prometheus.ask.query(FAILED)] == [failed]
        assert set(emitter.arrived(stack).records) == everything
        assert (emitted.delivered, emitted.drops) == (True, {})


def test_logs_move_to_loki_and_come_back(tmp_path: Path) -> None:
    """Elasticsearch to Loki; both have the same records of a trace."""
    try:
        locate("loki")
    except EngineMissing as missing:
        pytest.skip(str(missing))
    loki = Loki(tmp_path)
    with (
        Stack(tmp_path, more=[loki]) as stack,
        Emitter(stack.collector.otlp_http, pace=PACE, runs=True) as emitter,
    ):
        swap = Swap(
            ("logs-loki",),
            old=lambda: set(emitter.arrived(stack).records),
            new=lambda: {
                int(each["number"]) for each in loki.logs(emitter.service, scope_name="emitter")
            },
        )

        def compare() -> None:
            trace_id = trace_of_run(stack, f"{emitter.service}-{max(swap.old() & swap.new())}")
            query = {"term": {"trace_id": trace_id}}

            def both() -> bool:
                found = stack.elasticsearch.ask.documents("logs-*", query)
                old = sorted(each["body"]["text"] for each in found)
                new = sorted(each["line"] for each in loki.logs(emitter.service, trace_id=trace_id))
                return len(old) > 1 and old == new

            eventually("both have the same records", both)

        there_and_back(stack, emitter, swap, compare)
        emitted = emitter.end()
        stack.settle()
        everything = set(range(emitted.rounds))
        eventually("every record is somewhere", lambda: swap.old() | swap.new() == everything)
        assert set(emitter.arrived(stack).spans) == everything
        assert (emitted.delivered, emitted.drops) == (True, {})
