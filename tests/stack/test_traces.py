"""Jaeger has the trace of every run: whole, true, and linked to what triggered it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from importlib.util import find_spec
from typing import Any

import pytest

from support.stack.ask.otlp import Span

DRIVER = "psycopg" if find_spec("psycopg") else "psycopg2"
"""What Django prefers."""
AIRPORTS = "airports-yv"
"""A run that queries the database, calls an HTTP API and is written by three tasks."""


def _deliveries(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.name.startswith("run/")]


def _below(spans: list[Span], top: Span) -> list[Span]:
    """Return all spans below `top`."""
    found, level = [], {top.span_id}
    while level:
        children = [span for span in spans if span.parent_span_id in level]
        found += children
        level = {span.span_id for span in children}
    return found


def _scheduled(proof: Any) -> list[dict[str, Any]]:
    """Return the runs that beat started: ours, and those whose hour had come."""
    return [run for run in proof.runs if run["trigger"] == "schedule"]


def _nanoseconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() * 1e9


def test_every_run_has_its_trace(proof: Any) -> None:
    """The id in the ledger leads to a trace whose one root is the run, and there are no others."""
    roots = {
        span.attributes["pipeline.run.id"]: span.trace_id
        for spans in proof.traces.values()
        for span in spans
        if span.name.startswith("pipeline run ")
    }
    assert roots == {run["id"]: run["trace_id"] for run in proof.runs}
    for run in proof.runs:
        assert proof.root_of(run).name == f"pipeline run {run['pipeline']}"


def test_root_span_says_what_the_ledger_says(proof: Any) -> None:
    """Begin, end, status, organization and trigger of a run are those of its row."""
    for run in proof.runs:
        root = proof.root_of(run)
        assert (root.start, root.end) == pytest.approx(
            (_nanoseconds(run["started_at"]), _nanoseconds(run["finished_at"])), abs=2_000
        )
        assert root.status == ("error" if run["status"] == "failed" else "unset")
        told = {key: root.attributes.get(key) for key in root.attributes}
        told.pop("pipeline.run.triggered_by", None)
        told.pop("error.type", None)
        assert told == {
            "pipeline.name": run["pipeline"],
            "pipeline.organization": run["organization"],
            "pipeline.run.id": run["id"],
            "pipeline.run.attempt": run["attempt"],
            "pipeline.run.trigger": run["trigger"],
            "pipeline.status": run["status"],
        }


def test_traces_have_a_span_for_every_delivery(proof: Any) -> None:
    """The traces of a pipeline's runs have the deliveries of the ledger, also the revoked one."""
    types = {"extract", "transform", "load"}
    found: Counter[tuple[str, str]] = Counter()
    for run in proof.runs:
        for span in _deliveries(proof.traces[run["trace_id"]]):
            first = span.name.rpartition(".")[2].partition("_")[0]
            found[run["pipeline"], first if first in types else "other"] += 1
    expected: Counter[tuple[str, str]] = Counter()
    for (pipeline, type_, _), number in proof.tasks().items():
        expected[pipeline, type_] += number
    # The task that beat sent belongs to the tick's trace, not to that of the run it started.
    for run in _scheduled(proof):
        expected[run["pipeline"], "other"] -= 1
    assert found == +expected


def test_trace_goes_through_all_tasks(proof: Any) -> None:
    """Extract, transform and load of one run hang below one another, from process to process."""
    spans = proof.traces[proof.run_of(AIRPORTS)["trace_id"]]
    ids = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_span_id not in {*ids, ""}] == []
    names = {span.name.rpartition(".")[2] for span in _deliveries(spans)}
    assert names == {"extract_airports", "transform_airports", "load_airports"}
    writers = {span.resource["service.instance.id"] for span in spans}
    assert len(writers) >= 3  # A web worker, a pool child, the reporter.


@pytest.mark.parametrize(
    ("scope", "attribute", "value"),
    [
        (f"opentelemetry.instrumentation.{DRIVER}", "db.system.name", "postgresql"),
        ("opentelemetry.instrumentation.redis", "db.system.name", "redis"),
        ("opentelemetry.instrumentation.requests", "http.request.method", "GET"),
    ],
)
def test_clients_are_inside_of_the_run(proof: Any, scope: str, attribute: str, value: str) -> None:
    """SQL statements, Redis commands and HTTP calls are below the deliveries that did them."""
    spans = proof.traces[proof.run_of(AIRPORTS)["trace_id"]]
    inside = [
        span for top in _deliveries(spans) for span in _below(spans, top) if span.scope == scope
    ]
    assert inside
    assert {(span.kind, span.attributes[attribute]) for span in inside} == {("client", value)}


def test_http_call_goes_on_in_the_server(proof: Any) -> None:
    """The call of the airports API is answered by a server span below it, in the same trace."""
    spans = proof.traces[proof.run_of(AIRPORTS)["trace_id"]]
    calls = [span for span in spans if span.scope == "opentelemetry.instrumentation.requests"]
    for call in calls:
        (answer,) = (span for span in spans if span.parent_span_id == call.span_id)
        assert (answer.kind, answer.attributes["http.route"]) == (
            "server",
            "api/reference/airports",
        )
        status = "http.response.status_code"
        assert answer.attributes[status] == call.attributes[status]


def test_run_is_linked_to_the_request_that_triggered_it(proof: Any) -> None:
    """The link of each run that a person started leads to the server span of the button."""
    pressed = [run for run in proof.runs if run["trigger"] == "manual"]
    for run in pressed:
        ((trace_id, span_id),) = proof.root_of(run).links
        (request,) = (span for span in proof.traces[trace_id] if span.span_id == span_id)
        assert (request.name, request.kind) == ("POST pipelines/<slug:name>/run", "server")
        assert request.attributes["url.path"] == f"/pipelines/{run['pipeline']}/run"


def test_run_is_linked_to_the_tick_that_triggered_it(proof: Any) -> None:
    """A scheduled run links to the task that beat sent, and that to beat's tick."""
    assert _scheduled(proof)
    for run in _scheduled(proof):
        ((trace_id, span_id),) = proof.root_of(run).links
        tick = proof.traces[trace_id]
        (task,) = (span for span in tick if span.span_id == span_id)
        assert task.name == "run/apps.pipelines.tasks.runs.start_scheduled_run"
        assert task.parent_span_id == ""
        ((trace_id, span_id),) = task.links
        (sent,) = (span for span in proof.traces[trace_id] if span.span_id == span_id)
        assert (sent.name, sent.kind, sent.parent_span_id) == (
            "apply_async/apps.pipelines.tasks.runs.start_scheduled_run", "producer", "",
        )  # fmt: skip
        assert sent.resource["process.pid"] != task.resource["process.pid"]


def test_no_span_is_missing(proof: Any) -> None:
    """Jaeger has as many spans as the Collector has taken."""
    accepted = proof.stack.collector.ask.values("otelcol_receiver_accepted_spans", "transport")
    assert sum(map(len, proof.traces.values())) == sum(accepted.values())
