"""Overlays that change the shape of what is sent: traces in Elasticsearch, logs for OpenSearch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.stack import Stack, eventually
from support.stack.ask import http
from support.stack.product import PRODUCT

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FILES = ("single-node.yaml", "overlays/traces-elasticsearch.yaml", "overlays/logs-opensearch.yaml")
BOTH = ("overlays/both/traces-elasticsearch.yaml", "overlays/both/logs-opensearch.yaml")
INDICES = ("etl-logs", "etl-audit")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack whose Elasticsearch stands in for OpenSearch, which is not among our engines.

    It proves what the Collector sends: ordinary indices, no data stream. OpenSearch makes the
    indices by itself; this one is told not to make any without a template.
    """
    stack = Stack(tmp_path_factory.mktemp("overlays"), configs=[PRODUCT / file for file in FILES])
    stack.collector.variables["OPENSEARCH_ENDPOINT"] = stack.elasticsearch.address("http")
    with stack:
        for index in INDICES:
            http.send("PUT", f"{stack.elasticsearch.address('http')}/{index}", {})
        yield stack


def span(trace: str = TRACE) -> dict[str, Any]:
    """Return a request with one span."""
    now = time.time_ns()
    one = {
        "traceId": trace,
        "spanId": SPAN,
        "name": "GET /",
        "startTimeUnixNano": str(now),
        "endTimeUnixNano": str(now + 10**6),
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}


def record(scope: str, body: str) -> dict[str, Any]:
    """Return a request with one log record."""
    one = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": body}, "traceId": TRACE}
    return {"resourceLogs": [{"scopeLogs": [{"scope": {"name": scope}, "logRecords": [one]}]}]}


def send(stack: Stack, signal: str, body: dict[str, Any]) -> None:
    """Send, and wait until it has gone on."""
    http.send("POST", f"{stack.collector.otlp_http}/v1/{signal}", body)
    stack.settle()


def test_span_that_is_delivered_twice_is_one_document(stack: Stack) -> None:
    """The ids of a span are the id of its document."""
    body = span()
    for _ in range(2):
        send(stack, "traces", body)
    send(stack, "traces", span("1" + TRACE[1:]))
    ask = stack.elasticsearch.ask
    eventually(
        "the last one arrives", lambda: ask.count("traces-*", {"term": {"name": "GET /"}}) > 1
    )
    hits = ask.search("traces-*")["hits"]["hits"]
    assert {hit["_id"] for hit in hits} == {f"{TRACE}-{SPAN}", f"1{TRACE[1:]}-{SPAN}"}
    assert {hit["_index"].partition("-2")[0] for hit in hits} == {".ds-traces-generic.otel-default"}
    assert [hit["_source"]["attributes"] for hit in hits] == [{}, {}]


@pytest.mark.parametrize(
    ("scope", "index"), [("app", "etl-logs"), ("etl_telemetry.audit", "etl-audit")]
)
def test_logs_for_opensearch_are_in_ordinary_indices(scope: str, index: str, stack: Stack) -> None:
    """Records and audit records, each in its own, found by trace id."""
    send(stack, "logs", record(scope, "a record"))
    ask = stack.elasticsearch.ask
    eventually("it arrives", lambda: ask.count(index))
    (found,) = ask.documents(index, {"match": {"TraceId": TRACE}})
    assert (found["Body"], found["Scope.name"]) == ("a record", scope)
    assert ask.count("logs-*") == 0


def test_both_get_everything(stack: Stack) -> None:
    """With one file more the old backends get what the new ones get, and nothing else."""
    stack.collector.configs = [PRODUCT / file for file in (*FILES, *BOTH)]
    stack.collector.restart()
    trace = "2" + TRACE[1:]
    send(stack, "traces", span(trace))
    send(stack, "logs", record("app", "to both"))
    send(stack, "logs", record("etl_telemetry.audit", "to both"))
    ask = stack.elasticsearch.ask
    streams = ("logs-generic.otel-default", "logs-etl.audit.otel-default")
    for index in (*INDICES, *streams):
        field = "Body" if index in INDICES else "body.text"
        query = {"match_phrase": {field: "to both"}}
        eventually(f"it is in {index}", lambda i=index, q=query: ask.count(i, q) == 1)
    eventually("Jaeger has it", lambda: stack.jaeger.ask.trace(trace))
    (found,) = stack.jaeger.ask.trace(trace)
    assert found.attributes == {}
    assert ask.count("traces-*", {"term": {"trace_id": trace}}) == 1
