"""Backends are swapped behind a running application: both answer alike, nothing is lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from support.engines import EngineMissing, locate
from support.pages import REPOSITORY
from support.stack import Collector, Stack, VictoriaMetrics, eventually, rates, shown
from support.stack.emitter import Emitter
from support.stack.loki import Loki
from support.stack.product import PRODUCT
from support.stack.refusing import Refusing, lose_answer
from support.stack.swap import Swap, there_and_back

PACE = 0.05
ROUNDS, AGAIN = 100, 6
"""Rounds before a kill and after it; requests whose answers get lost, of four senders."""
PAGE = REPOSITORY / "docs" / "how-to" / "swap-backend.md"
SERIES = 'pipeline_executions_total{status="failed"}'
FAILED = f"sum({SERIES})"
WINDOW = 10.0
RATE = f"sum(rate({SERIES}[{WINDOW:g}s]))"
RUN = {"pipeline run emitted", "round"}
"""The spans of a run."""


def spans_in_elasticsearch(stack: Stack) -> set[int]:
    """Return the rounds that have a span there."""
    query = {"term": {"name": "round"}}
    return set(stack.elasticsearch.ask.terms("traces-*", "attributes.number", query))


def trace_of_run(stack: Stack, run_id: str) -> str:
    """Return the id of a run's trace, by its records in Elasticsearch."""
    query = {"term": {"attributes.pipeline.run.id": run_id}}
    (trace_id,) = stack.elasticsearch.ask.terms("logs-*", "trace_id", query)
    return str(trace_id)


def names_in_elasticsearch(stack: Stack, trace_id: str) -> set[tuple[str, str]]:
    """Return id and name of the spans of a trace; what was delivered twice is there once."""
    found = stack.elasticsearch.ask.documents("traces-*", {"term": {"trace_id": trace_id}})
    return {(span["span_id"], span["name"]) for span in found}


def a_window_ago() -> float:
    """Let more than a window of rates pass, and return a time that is over.

    In whole milliseconds, as backends keep it: else they would ask for another time than we.
    """
    begin = time.time()
    eventually("a window of rates passes", lambda: time.time() > begin + WINDOW + 2)
    return round(time.time() - 1, 3)


def compare_metrics(stack: Stack, new: VictoriaMetrics) -> None:
    """Ask both for failed runs at one time.

    They have the same samples, so the same counts. What each makes of them is its own definition
    of a rate, and exactly that.
    """
    old_ask, new_ask = stack.prometheus.ask, new.ask
    recent = f"count_over_time({SERIES}[{WINDOW:g}s])"
    # VictoriaMetrics' rate takes the last sample before the window, too: there must be one.
    eventually("both get samples", lambda: old_ask.query(recent) and new_ask.query(recent))
    at = a_window_ago()
    begin = at - WINDOW

    def samples_are_equal() -> bool:
        old, new = (ask.raw(SERIES, seconds=WINDOW, at=at) for ask in (old_ask, new_ask))
        return old == new and len(old) > 2

    eventually("both have the same samples", samples_are_equal)
    old_count, new_count = (ask.query(FAILED, at=at)[0].value for ask in (old_ask, new_ask))
    assert old_count == new_count > 0
    samples = new_ask.raw(SERIES, seconds=2 * WINDOW, at=at)
    old_rate, new_rate = (ask.query(RATE, at=at)[0].value for ask in (old_ask, new_ask))
    assert (old_rate, new_rate) == (
        pytest.approx(rates.prometheus(samples, start=begin, end=at)),
        pytest.approx(rates.victoriametrics(samples, start=begin, end=at)),
    )


def ask_victoriametrics_alone(stack: Stack, new: VictoriaMetrics) -> None:
    """Ask it without Prometheus, which has nothing of this time."""
    at = a_window_ago()
    assert stack.prometheus.ask.query(f"increase({SERIES}[{WINDOW:g}s])", at=at) == []
    assert new.ask.query(FAILED, at=at)[0].value > stack.prometheus.ask.query(FAILED)[0].value
    samples = new.ask.raw(SERIES, seconds=2 * WINDOW, at=at)
    assert new.ask.query(RATE, at=at)[0].value == pytest.approx(
        rates.victoriametrics(samples, start=at - WINDOW, end=at)
    )


def count_in(answer: str) -> str:
    """Return the value in an answer of Prometheus or VictoriaMetrics."""
    (found,) = json.loads(answer)["data"]["result"]
    return str(found["value"][1])


def check_page(about: str, **variables: str) -> list[str]:
    """Ask what the page asks: but for ids and numbers it shows the real answers, returned here."""
    told = shown.answers(PAGE, variables, about=about)
    expected = [(command, shown.without_own(text)) for command, text, _ in told]
    found = [(command, shown.without_own(text)) for command, _, text in told]
    real = "\n".join(f"$ {command}\n{text}" for command, _, text in told)
    assert found == expected, f"the page is to show, in its block about {about}:\n{real}"
    return [text for _, _, text in told]


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

            def both() -> bool:
                old = {(s.span_id, s.name) for s in stack.jaeger.ask.trace(trace_id)}
                return old == names_in_elasticsearch(stack, trace_id) and {n for _, n in old} == RUN

            eventually("both have the same trace", both)
            old_count, new_count, *_ = check_page(
                "$JAEGER",
                PROMETHEUS=stack.prometheus.address("http"),
                VICTORIAMETRICS=metrics.address("http"),
                JAEGER=stack.jaeger.address("query"),
                ELASTICSEARCH=stack.elasticsearch.address("http"),
                TRACE_ID=trace_id,
                AT=str(int(time.time()) - 5),
            )
            assert count_in(old_count) == count_in(new_count)

        def alone(number: int) -> None:
            ask_victoriametrics_alone(stack, metrics)
            trace_id = trace_of_run(stack, f"{emitter.service}-{number}")
            assert {name for _, name in names_in_elasticsearch(stack, trace_id)} == RUN
            assert stack.jaeger.ask.trace(trace_id) == []

        there_and_back(stack, emitter, swap, compare=compare, alone=alone)
        emitted = emitter.end()
        assert (emitted.delivered, emitted.drops) == (True, {})
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


@pytest.fixture
def loki(tmp_path: Path) -> Loki:
    """Give a Loki that is not started, where it is built."""
    try:
        locate("loki")
    except EngineMissing as missing:
        pytest.skip(str(missing))
    return Loki(tmp_path)


def test_record_that_loki_is_given_again_is_there_once(tmp_path: Path, loki: Loki) -> None:
    """Though it knows no ids, what comes again in the same words is the same line, flushed or not.

    Answers get lost, so each batch comes several times, and the Collector is killed meanwhile.
    """
    alone = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    files = [PRODUCT / "single-node.yaml", PRODUCT / "overlays" / "logs-loki.yaml"]
    collector = Collector(tmp_path, configs=files)
    with loki, Refusing(loki.address("http"), lose_answer) as between:
        collector.variables["LOKI_OTLP_ENDPOINT"] = f"{between.address}/otlp"
        with collector, Emitter(collector.otlp_http, **alone) as emitter:
            emitter.go_on(ROUNDS)
            eventually("batches come again", lambda: between.disturbed > AGAIN)
            loki.flush()
            collector.kill()
            collector.start()
            emitter.go_on(ROUNDS)
            eventually("batches come again", lambda: between.disturbed > 2 * AGAIN)
            between.answer = None
            emitted = emitter.end()
            eventually("queues get empty", lambda: collector.waiting() == 0)
        lines = loki.logs(emitter.service, scope_name="emitter")
    assert emitted.drops == {}
    assert Counter(int(line["number"]) for line in lines) == Counter(range(emitted.rounds))


def test_logs_move_to_loki_and_come_back(tmp_path: Path, loki: Loki) -> None:
    """Elasticsearch to Loki; both have the same records of a trace."""
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

        def in_loki(trace_id: str) -> Counter[str]:
            found = loki.logs(emitter.service, trace_id=trace_id)
            return Counter(each["line"] for each in found)

        def compare() -> None:
            trace_id = trace_of_run(stack, f"{emitter.service}-{max(swap.old() & swap.new())}")
            query = {"term": {"trace_id": trace_id}}

            def both() -> bool:
                found = stack.elasticsearch.ask.documents("logs-*", query)
                old = Counter(each["body"]["text"] for each in found)
                return len(old) > 1 and old == in_loki(trace_id)

            eventually("both have the same records", both)
            check_page(
                "$LOKI",
                ELASTICSEARCH=stack.elasticsearch.address("http"),
                LOKI=loki.address("http"),
                TRACE_ID=trace_id,
            )

        def alone(number: int) -> None:
            (trace_id,) = {
                each["trace_id"]
                for each in loki.logs(emitter.service, scope_name="emitter", number=str(number))
            }
            assert {"pipeline_run_started", "round"} <= in_loki(trace_id).keys()
            assert stack.elasticsearch.ask.count("logs-*", {"term": {"trace_id": trace_id}}) == 0

        there_and_back(stack, emitter, swap, compare=compare, alone=alone)
        emitted = emitter.end()
        assert (emitted.delivered, emitted.drops) == (True, {})
        stack.settle()
        everything = set(range(emitted.rounds))
        eventually("every record is somewhere", lambda: swap.old() | swap.new() == everything)
        assert set(emitter.arrived(stack).spans) == everything
