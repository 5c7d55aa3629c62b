"""Nothing is lost: kills and outages, with an application that knows what it emitted."""

from __future__ import annotations

import pytest

from support.stack import Stack, eventually, losses
from support.stack.ask import http
from support.stack.ask.http import Refused
from support.stack.emitter import IMPATIENT, Emitter
from support.stack.losses import FEW, ROUNDS, SLOW, Outcome
from support.stack.refusing import (
    Answer,
    Refusing,
    lose_answer,
    refuse,
    refuse_documents,
    refuse_for,
)

RENAMED = {
    "exporters": {
        "otlp_http/tracing": {
            "endpoint": "${env:JAEGER_OTLP_ENDPOINT}",
            "retry_on_failure": {"max_elapsed_time": "0s"},
            "sending_queue": {"storage": "file_storage", "batch": {"sizer": "items"}},
        }
    },
    "service": {"pipelines": {"traces/backend": {"exporters": ["otlp_http/tracing"]}}},
}


def assert_counted(outcome: Outcome) -> None:
    """Check that the application counted what is missing, at the exporter or before a full queue.

    Counted items may have arrived, where only the answer got lost; never the reverse.
    """
    assert 0 < outcome.lost <= sum(outcome.drops.values())
    assert {"not_delivered"} <= outcome.drops.keys() <= {"not_delivered", "queue_full"}


def test_collector_killed_during_traffic_loses_nothing(stack: Stack) -> None:
    """Three kills with SIGKILL: what was answered is on the disk, the rest is sent again."""
    outcome = losses.kill_collector(stack)
    assert outcome == Outcome.whole(outcome.rounds)


@pytest.mark.parametrize("name", ["prometheus", "elasticsearch", "jaeger"])
def test_backend_that_was_away_gets_everything_afterwards(name: str, stack: Stack) -> None:
    """All that waits is on the disk: the Collector is killed meanwhile, and holds nothing."""
    outcome = losses.stop_backend(stack, getattr(stack, name))
    assert outcome == Outcome.whole(outcome.rounds)


def test_elasticsearch_that_never_answers_holds_up_nobody_else(stack: Stack) -> None:
    """A frozen process keeps its connections; what it should have had waits for it."""
    stack.elasticsearch.pause()
    try:
        with Emitter(stack.collector.otlp_http) as emitter:
            emitter.go_on(2 * ROUNDS)
            emitted = emitter.end()
            losses.every_count_arrives(emitter, stack, emitted.rounds)
            eventually(
                "every span arrives",
                lambda: emitter.spans(stack) == Outcome.whole(emitted.rounds).arrived.spans,
                every=2,
            )
            assert stack.collector.waiting() > 0
            stack.elasticsearch.resume()
            outcome = losses.end(emitter, stack)
    finally:
        stack.elasticsearch.resume()
    assert outcome == Outcome.whole(outcome.rounds)


def test_collector_away_for_longer_than_the_application_tries_is_counted(stack: Stack) -> None:
    """What is dropped then is counted by the application, item by item."""
    with Emitter(stack.collector.otlp_http, **IMPATIENT) as emitter:
        emitter.go_on(ROUNDS)
        stack.collector.stop()
        losses.for_longer_than_the_application_tries()
        stack.collector.start()
        emitter.go_on(ROUNDS)
        outcome = losses.end(emitter, stack, patience=0)
        losses.every_count_arrives(emitter, stack, outcome.rounds)
    assert outcome.doubled == 0
    assert_counted(outcome)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refuse(429), id="429"),
        pytest.param(refuse(503), id="503"),
        pytest.param(refuse_documents, id="429-for-single-documents"),
        pytest.param(lose_answer, id="answer-lost"),
    ],
)
def test_elasticsearch_that_is_disturbed_for_a_while_gets_everything(
    answer: Answer, stack: Stack
) -> None:
    """The exporter tries until all is taken, and what is sent twice is one document."""
    outcome = losses.disturb_elasticsearch(stack, answer)
    assert outcome == Outcome.whole(outcome.rounds)


@pytest.mark.parametrize(
    ("stream", "waits", "arrives"),
    [("logs-etl.audit", "audits", "records"), ("logs-generic", "records", "audits")],
)
def test_audit_events_and_other_records_do_not_wait_for_each_other(
    stream: str, waits: str, arrives: str, stack: Stack
) -> None:
    """While Elasticsearch refuses the one it gets the other."""
    with (
        Refusing(stack.elasticsearch.address("http"), refuse_for(stream)) as between,
        stack.collector.changed(ELASTICSEARCH_ENDPOINT=between.address),
        Emitter(stack.collector.otlp_http) as emitter,
    ):

        def found(kind: str) -> int:
            return len(getattr(emitter.arrived(stack), kind))

        emitter.go_on(ROUNDS)
        eventually("the other arrives", lambda: found(arrives) >= ROUNDS, every=2)
        assert found(waits) == 0
        between.answer = None
        outcome = losses.end(emitter, stack)
    assert outcome == Outcome.whole(outcome.rounds)


def test_full_queue_refuses_and_what_is_refused_is_counted(stack: Stack) -> None:
    """A queue below its disk says no: everything arrives, or the application counts it."""
    refused = "otelcol_exporter_enqueue_failed_spans"
    with (
        Refusing(stack.elasticsearch.address("http"), refuse(503)) as between,
        stack.collector.changed(ETL_QUEUE_BYTES="1000000", ELASTICSEARCH_ENDPOINT=between.address),
    ):
        stack.jaeger.stop()
        with Emitter(stack.collector.otlp_http, padding=1_000, **IMPATIENT) as emitter:
            eventually(
                "the queue refuses", lambda: sum(stack.collector.ask.values(refused).values()) > 0
            )
            losses.for_longer_than_the_application_tries()
            stack.jaeger.start()
            between.answer = None
            emitter.go_on(ROUNDS)
            outcome = losses.end(emitter, stack, patience=0)
            losses.every_count_arrives(emitter, stack, outcome.rounds)
    assert_counted(outcome)


def test_collector_past_its_memory_says_later_and_gets_everything_when_it_has_room(
    stack: Stack,
) -> None:
    """It takes in nothing that it has no room for: the application keeps it, and sends it again."""
    collector, refused = stack.collector, "otelcol_receiver_refused_spans"
    with Emitter(collector.otlp_http, pace=SLOW) as emitter:
        emitter.go_on(FEW)
        with collector.changed(ETL_MEMORY_LIMIT_MIB="5"):
            eventually(
                "it refuses", lambda: sum(collector.ask.values(refused, "transport").values()) > 0
            )
            with pytest.raises(Refused, match=r"answered 503: .*high memory usage"):
                http.send("POST", f"{collector.otlp_http}/v1/traces", losses.SPAN)
        emitter.go_on(FEW)
        outcome = losses.end(emitter, stack)
    assert outcome == Outcome.whole(outcome.rounds)


def test_renamed_exporter_gets_what_waited_only_when_its_file_is_renamed(stack: Stack) -> None:
    """The queue's file has the exporter's name: until it is moved along, what is in it waits."""
    collector = stack.collector
    orphan = collector.queue / "exporter_otlp_http_jaeger_traces"
    stack.jaeger.stop()
    with Emitter(collector.otlp_http) as emitter:
        emitter.go_on(ROUNDS)
        eventually("something waits", lambda: collector.waiting() > 0)
        with stack.collector.changed(RENAMED):
            stack.jaeger.start()
            emitter.go_on(ROUNDS)
            forgotten = losses.end(emitter, stack, patience=5)
            collector.stop()
            orphan.rename(collector.queue / "exporter_otlp_http_tracing_traces")
            collector.start()
            stack.settle()
            eventually(
                "all spans arrive", lambda: emitter.arrived(stack).spans.total() == forgotten.rounds
            )
            moved = Outcome(forgotten.rounds, forgotten.drops, emitter.arrived(stack))
    late = min(forgotten.arrived.spans)
    assert set(forgotten.arrived.spans) == set(range(late, forgotten.rounds))
    assert 0 < late == forgotten.lost
    assert moved == Outcome.whole(forgotten.rounds)


def test_swap_of_a_backend_that_is_away_loses_nothing(stack: Stack) -> None:
    """What waits for the old backend stays on the disk until its exporter comes back."""
    outcome = losses.swap_traces(stack)
    assert outcome == Outcome.whole(outcome.rounds)
