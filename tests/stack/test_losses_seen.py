"""Tests of losses are no good if they do not see one: wrong configurations, and what is missing.

Each runs what a test of `test_losses.py` runs, with the line left out that keeps the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.stack import Stack, losses
from support.stack.losses import Outcome
from support.stack.refusing import lose_answer, refuse, refuse_documents

Scenario = Callable[[Stack], Outcome]


SHORT = 3.0
GIVES_UP = {"initial_interval": "200ms", "max_interval": "1s", "max_elapsed_time": "1s"}


def exporter(name: str, **options: Any) -> dict[str, Any]:
    """Return a configuration that gives one exporter other options."""
    return {"exporters": {name: options}}


LOST: dict[str, tuple[dict[str, Any], Scenario]] = {
    "spans wait in memory": (
        exporter("otlp_http/jaeger", sending_queue={"storage": None}),
        lambda stack: losses.stop_backend(stack, stack.jaeger, patience=SHORT),
    ),
    "records wait in memory": (
        exporter("elasticsearch/logs", sending_queue={"storage": None}),
        lambda stack: losses.stop_backend(stack, stack.elasticsearch, patience=SHORT),
    ),
    "a swap finds spans in memory": (
        exporter("otlp_http/jaeger", sending_queue={"storage": None}),
        lambda stack: losses.swap_traces(stack, patience=SHORT),
    ),
    "it gives up after a second": (
        exporter("otlp_http/jaeger", retry_on_failure=GIVES_UP),
        lambda stack: losses.stop_backend(stack, stack.jaeger, killed=False, patience=SHORT),
    ),
    "Elasticsearch is tried three times": (
        exporter("elasticsearch/logs", retry={"max_retries": 2, "max_interval": "500ms"}),
        lambda stack: losses.disturb_elasticsearch(stack, refuse(429), times=6, patience=SHORT),
    ),
    "Elasticsearch is not tried again after a 503": (
        exporter("elasticsearch/logs", retry={"retry_on_status": [429]}),
        lambda stack: losses.disturb_elasticsearch(stack, refuse(503), patience=SHORT),
    ),
    "Elasticsearch has two seconds for all tries": (
        exporter("elasticsearch/logs", timeout="2s"),
        lambda stack: losses.stop_backend(stack, stack.elasticsearch, killed=False, patience=SHORT),
    ),
    "a document is not tried again after a 429": (
        exporter("elasticsearch/logs", retry={"retry_on_status": [503]}),
        lambda stack: losses.disturb_elasticsearch(stack, refuse_documents, patience=SHORT),
    ),
}


@pytest.mark.parametrize("broken", LOST)
def test_what_a_wrong_configuration_loses_is_seen(broken: str, stack: Stack) -> None:
    """Spans, records or audit events are missing, and the application knows of none."""
    overlay, scenario = LOST[broken]
    with stack.collector.changed(overlay):
        outcome = scenario(stack)
    assert outcome.lost > 0
    assert (outcome.doubled, outcome.drops) == (0, {})


def test_points_in_the_memory_of_a_killed_collector_are_missed(stack: Stack) -> None:
    """An application that has ended sends no sum that would make them good."""
    with stack.collector.changed(exporter("otlp_http/prometheus", sending_queue={"storage": None})):
        outcome = losses.stop_backend(stack, stack.prometheus, patience=SHORT)
    assert outcome.arrived.counted < outcome.rounds
    assert (outcome.lost, outcome.doubled, outcome.drops) == (0, 0, {})


def test_record_without_an_id_of_its_own_is_seen_twice(stack: Stack) -> None:
    """What is sent again after an answer that got lost is a second document."""
    with stack.collector.changed(
        exporter("elasticsearch/logs", logs_dynamic_id={"enabled": False})
    ):
        outcome = losses.disturb_elasticsearch(stack, lose_answer, patience=SHORT)
    assert outcome.doubled > 0
    assert (outcome.lost, outcome.drops) == (0, {})
