"""GET /api/v1/...: the query API as JSON."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from etl_telemetry.viewer import flatten, flatten_metrics
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store
from support.otlp import (
    SPAN_ID,
    TRACE_ID,
    Reply,
    ask,
    logs,
    metrics,
    pairs,
    send,
    span,
    traces,
    value,
)

NOW = 1_795_353_064_769_941_842


@pytest.fixture
def address(store: Store, receiver: Receiver) -> str:
    """Give the address of a receiver that has one span, one log record and one metric."""
    item = span(name="load", start=NOW, end=NOW + 1, attributes={"rows": 2**60, "ok": True})
    store.add(flatten.spans(traces(item, service_name="etl")))
    store.add(flatten.logs(logs(LogRecord(body=value("hi"), time_unix_nano=NOW), logger="etl")))
    metric = Metric(name="rows")
    metric.gauge.data_points.add(as_int=5, time_unix_nano=NOW, attributes=pairs({"a.b": "x y"}))
    metric.gauge.data_points.add(
        as_double=float("inf"), time_unix_nano=NOW, attributes=pairs({"a.b": "z"})
    )
    store.add(flatten_metrics.metrics(metrics(metric)))
    return receiver.address


SPAN = {
    "trace_id": TRACE_ID,
    "span_id": SPAN_ID,
    "parent_span_id": None,
    "name": "load",
    "kind": "unspecified",
    "start_ns": str(NOW),
    "end_ns": str(NOW + 1),
    "status": "unset",
    "status_message": "",
    "attributes": {"rows": str(2**60), "ok": True},
    "events": [],
    "links": [],
    "service": "etl",
    "resource": {"service.name": "etl"},
    "scope": {"name": "tests", "version": "1"},
    "received": 1,
}


def test_the_index_names_all_paths(address: str) -> None:
    """Each of them answers."""
    index = ask(address, "/api/v1")
    assert index == {
        "version": 1,
        "paths": [
            "/api/v1",
            "/api/v1/counts",
            "/api/v1/services",
            "/api/v1/traces",
            "/api/v1/traces/{trace_id}",
            "/api/v1/runs",
            "/api/v1/spans",
            "/api/v1/logs",
            "/api/v1/metrics",
            "/api/v1/metrics/{metric}/series",
            "/api/v1/metrics/{metric}/sum_latest",
        ],
    }
    for path in json.loads(json.dumps(index))["paths"]:
        ask(address, path.format(trace_id=TRACE_ID, metric="rows"))
        ask(address, path.format(trace_id=TRACE_ID, metric="rows") + "/")


def test_spans_and_traces(address: str) -> None:
    """Times and big integers are text, since JavaScript would round them."""
    summary = {
        "trace_id": TRACE_ID,
        "name": "load",
        "service": "etl",
        "start_ns": str(NOW),
        "end_ns": str(NOW + 1),
        "spans": 1,
        "errors": 0,
    }
    assert ask(address, "/api/v1/traces?service=etl&limit=5") == {"traces": [summary]}
    assert ask(address, f"/api/v1/traces/{TRACE_ID}") == {"trace_id": TRACE_ID, "spans": [SPAN]}
    assert ask(address, f"/api/v1/spans?name=load&span_id={SPAN_ID}") == {"spans": [SPAN]}
    assert ask(address, "/api/v1/spans?service=other") == {"spans": []}


def test_attributes_are_compared_as_text(address: str) -> None:
    """A URL has no types."""
    for condition in ("rows=1152921504606846976", "ok=true", "service.name=etl"):
        assert ask(address, f"/api/v1/spans?attr.{condition}") == {"spans": [SPAN]}
    for condition in ("rows=1", "ok=1", "service.name="):
        assert ask(address, f"/api/v1/spans?attr.{condition}") == {"spans": []}


def test_logs(address: str) -> None:
    """By logger and attribute."""
    record = {
        "time_ns": str(NOW),
        "observed_ns": "0",
        "severity": 0,
        "severity_text": "",
        "event_name": "",
        "body": "hi",
        "trace_id": None,
        "span_id": None,
        "attributes": {},
        "service": "",
        "resource": {},
        "scope": {"name": "etl", "version": ""},
    }
    assert ask(address, "/api/v1/logs?logger=etl") == {"logs": [record]}
    assert ask(address, f"/api/v1/logs?trace_id={TRACE_ID}") == {"logs": []}


def test_metrics(address: str) -> None:
    """The list, one metric's history and what it amounts to."""
    metric = {
        "name": "rows",
        "kind": "gauge",
        "temporality": "",
        "unit": "",
        "description": "",
        "series": 2,
    }
    assert ask(address, "/api/v1/metrics") == {"metrics": [metric]}
    series = {
        "metric": "rows",
        "kind": "gauge",
        "temporality": "",
        "attributes": {"a.b": "x y"},
        "resource": {},
        "scope": {"name": "tests", "version": ""},
        "points": [{"start_ns": "0", "time_ns": str(NOW), "value": 5, "exemplars": []}],
    }
    assert ask(address, "/api/v1/metrics/rows/series?attr.a.b=x+y") == {"series": [series]}
    assert ask(address, "/api/v1/metrics/rows/sum_latest?by=a.b&by=c") == {
        "metric": "rows",
        "by": ["a.b", "c"],
        "values": [
            {"key": ["x y", None], "value": 5},
            {"key": ["z", None], "value": "Infinity"},
        ],
    }


def test_counts_and_services(address: str) -> None:
    """What the store has, and who sent it."""
    assert ask(address, "/api/v1/services") == {"services": ["", "etl"]}
    assert ask(address, "/api/v1/counts") == {
        "spans": 1,
        "logs": 1,
        "series": 2,
        "points": 2,
        "dropped_spans": 0,
        "dropped_logs": 0,
        "dropped_series": 0,
        "dropped_points": 0,
    }


def get(address: str, path: str, **headers: str) -> Reply:
    """Return the answer to GET, whatever it is."""
    return send(address, path, None, method="GET", content_type=None, **headers)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        (
            "/spans?nam=x",
            400,
            (
                "unknown parameter nam; "
                "allowed here: attr.<key>, limit, name, service, span_id, trace_id"
            ),
        ),
        ("/counts?x=1", 400, "unknown parameter x; allowed here: none"),
        ("/spans?name=a&name=b", 400, "name may be given once, got 2 times"),
        ("/spans?attr.x=a&attr.x=b", 400, "attr.x may be given once, got 2 times"),
        ("/spans?limit=-1", 400, "limit must be a number from 0 to 10000, got '-1'"),
        ("/spans?limit=10001", 400, "limit must be a number from 0 to 10000, got '10001'"),
        (f"/traces/{'f' * 32}", 404, f"no span of trace {'f' * 32} has arrived"),
    ],
)
def test_a_wrong_question_is_answered(address: str, path: str, code: int, message: str) -> None:
    """With what is wrong, as JSON: a misspelt filter must not select everything."""
    reply = get(address, f"/api/v1{path}")
    rpc_code = {400: 3, 404: 5}[code]
    assert (reply.status, reply.json()) == (code, {"code": rpc_code, "message": message})


def test_two_kinds_of_one_name_have_no_sum(store: Store, address: str) -> None:
    """400 says so and how to go on."""
    metric = Metric(name="rows")
    metric.sum.aggregation_temporality = 2
    metric.sum.data_points.add(as_int=5)
    store.add(flatten_metrics.metrics(metrics(metric)))
    reply = get(address, "/api/v1/metrics/rows/sum_latest")
    message = (
        "metric 'rows' arrived as gauge and as updown, which have no common sum; "
        "select one of them by where="
    )
    assert (reply.status, reply.json()) == (400, {"code": 3, "message": message})


def test_head_is_get_without_a_body(address: str) -> None:
    """The same headers, nothing more on the wire."""
    reply = send(address, "/api/v1/services", None, method="HEAD", content_type=None)
    same = get(address, "/api/v1/services")
    assert (reply.status, reply.headers["content-length"], reply.body) == (
        200,
        same.headers["content-length"],
        b"",
    )


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:4318", "app.localhost"])
def test_this_machine_may_ask(address: str, host: str) -> None:
    """By address or as localhost."""
    assert get(address, "/api/v1", Host=host).status == 200


def test_a_foreign_name_may_not_ask(address: str) -> None:
    """A site that points its own name at this machine could read all (DNS rebinding)."""
    reply = get(address, "/api/v1", Host="evil.example:4318")
    assert (reply.status, reply.json()) == (
        403,
        {
            "code": 7,
            "message": (
                "ask for this viewer by address or as localhost, got Host 'evil.example:4318'"
            ),
        },
    )


def test_a_viewer_for_others_may_have_any_name() -> None:
    """Whoever opens it to the network has a name for it."""
    with Store() as store, Receiver(store, host="0.0.0.0") as receiver:  # noqa: S104 -- the case
        assert get(receiver.address, "/api/v1", Host="viewer.example").status == 200


def test_a_store_that_cannot_be_read_is_503(store: Store, receiver: Receiver) -> None:
    """The receiver goes on; whoever asks may try again."""
    store.close()
    reply = get(receiver.address, "/api/v1/traces")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
