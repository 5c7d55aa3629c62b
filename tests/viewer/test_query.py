"""The read side: spans, traces, logs, metrics, conditions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from etl_telemetry.viewer import flatten, flatten_metrics, rows
from etl_telemetry.viewer import records as seen
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.schema import StoreError
from etl_telemetry.viewer.store import Store
from support.otlp import SPAN_ID, TRACE_ID, logs, metrics, pairs, span, traces, value
from support.patience import PATIENT

OTHER_TRACE = "1" * 32
CHILD = "00f067aa0ba902b7"


@pytest.fixture
def filled(store: Store) -> Store:
    """Give a store with two traces, two services and two log records."""
    root = span(name="run", start=100, end=900, attributes={"pipeline.name": "p", "rows": 5})
    root.status.code = 2
    root.kind = 1
    root.events.add(name="retry", time_unix_nano=7, attributes=pairs({"n": 1}))
    root.links.add(trace_id=b"\x11" * 16, span_id=b"\x22" * 8, attributes=pairs({"why": "request"}))
    child = span(span_id=CHILD, parent=SPAN_ID, name="extract", start=200, end=1000)
    lone = span(trace_id=OTHER_TRACE, parent=CHILD, name="beat", start=500, end=600)
    store.add(flatten.spans(traces(child, service_name="worker", deployment_environment="test")))
    store.add(flatten.spans(traces(root, service_name="web")))
    store.add(flatten.spans(traces(lone, service_name="beat")))
    inside = LogRecord(
        time_unix_nano=1,
        observed_time_unix_nano=2,
        severity_number=9,
        severity_text="INFO",
        body=value("loaded"),
        trace_id=bytes.fromhex(TRACE_ID),
        span_id=bytes.fromhex(SPAN_ID),
        attributes=pairs({"rows": 5, "ok": True}),
    )
    outside = LogRecord(severity_text="ERROR", body=value("failed"), event_name="x")
    store.add(flatten.logs(logs(inside, logger="etl.load", service_name="worker")))
    store.add(flatten.logs(logs(outside, logger="etl", service_name="web")))
    return store


def test_a_span_comes_back_whole(filled: Store, query: Query) -> None:
    """Every field of the writer, and how often it arrived."""
    assert query.spans(name="run") == [
        seen.Span(
            trace_id=TRACE_ID,
            span_id=SPAN_ID,
            parent_span_id=None,
            name="run",
            kind="internal",
            start_ns=100,
            end_ns=900,
            status="error",
            status_message="",
            attributes={"pipeline.name": "p", "rows": 5},
            events=(seen.Event("retry", 7, {"n": 1}),),
            links=(seen.Link("11" * 16, "22" * 8, {"why": "request"}),),
            service="web",
            resource={"service.name": "web"},
            scope=seen.Scope("tests", "1"),
            received=1,
        )
    ]


def test_a_log_record_comes_back_whole(filled: Store, query: Query) -> None:
    """Every field of the writer."""
    assert query.logs(trace_id=TRACE_ID) == [
        seen.LogRecord(
            time_ns=1,
            observed_ns=2,
            severity=9,
            severity_text="INFO",
            event_name="",
            body="loaded",
            trace_id=TRACE_ID,
            span_id=SPAN_ID,
            attributes={"rows": 5, "ok": True},
            service="worker",
            resource={"service.name": "worker"},
            scope=seen.Scope("etl.load", ""),
        )
    ]


def test_traces_are_listed_newest_first(filled: Store, query: Query) -> None:
    """By root span; a trace whose root is missing is named after its earliest span."""
    run = seen.TraceSummary(TRACE_ID, "run", "web", 100, 1000, 2, 1)
    beat = seen.TraceSummary(OTHER_TRACE, "beat", "beat", 500, 600, 1, 0)
    assert query.traces() == [beat, run]
    assert query.traces(limit=1) == [beat]
    assert query.traces(service="web") == [run]
    assert query.traces(service="worker") == []


def test_a_trace_is_found_by_its_id(filled: Store, query: Query) -> None:
    """All its spans by start, whatever the case of the id."""
    assert [found.name for found in query.trace(TRACE_ID.upper())] == ["run", "extract"]
    assert query.trace("f" * 32) == []


def test_spans_are_found_by_each_condition(filled: Store, query: Query) -> None:
    """Name, service, ids, attributes of the span or its resource, and all at once."""

    def names(**conditions: object) -> list[str]:
        return [found.name for found in query.spans(**conditions)]  # type: ignore[arg-type]

    assert names() == ["run", "extract", "beat"]
    assert names(limit=2) == ["run", "extract"]
    assert names(service="worker") == ["extract"]
    assert names(span_id=CHILD.upper()) == ["extract"]
    assert names(where={"pipeline.name": "p"}) == ["run"]
    assert names(where={"deployment.environment": "test"}) == ["extract"]
    assert names(name="run", service="web", trace_id=TRACE_ID, where={"rows": 5}) == ["run"]
    assert names(name="run", service="worker") == []


def test_logs_are_found_by_each_condition(filled: Store, query: Query) -> None:
    """Logger, severity, service, span, attributes, in the order of arrival."""

    def bodies(**conditions: object) -> list[object]:
        return [found.body for found in query.logs(**conditions)]  # type: ignore[arg-type]

    assert bodies() == ["loaded", "failed"]
    assert bodies(limit=0) == []
    assert bodies(logger="etl") == ["failed"]
    assert bodies(severity_text="INFO") == ["loaded"]
    assert bodies(service="web") == ["failed"]
    assert bodies(span_id=SPAN_ID) == ["loaded"]
    assert bodies(where={"ok": True, "service.name": "worker"}) == ["loaded"]


# No NUL: SQLite's JSON functions end text there (https://sqlite.org/nulinstr.html).
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
KEYS = TEXT.filter(bool)
VALUES = st.one_of(
    TEXT,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False),
    st.lists(st.integers(0, 9), max_size=3),
)


@PATIENT
@given(KEYS, VALUES, VALUES)
def test_any_attribute_can_be_asked_for(key: str, item: object, other: object) -> None:
    """Whatever is in the key (quotes, dots, brackets) and of whatever type the value is."""
    same = item == other and isinstance(item, bool) == isinstance(other, bool)
    with Store() as store:
        store.add(flatten.spans(traces(span(attributes={key: item}))))
        query = Query(store.path)
        assert len(query.spans(where={key: item})) == 1
        assert bool(query.spans(where={key: other})) == same
        assert query.spans(where={key: None}) == []


@pytest.mark.parametrize(
    ("stored", "others"),
    [
        (5, ["5", True, [5]]),
        (1, [True, "1"]),
        (True, [1, "true"]),
        ([1], ["[1]"]),
        ("", [None, []]),
    ],
)
def test_types_count(store: Store, query: Query, stored: object, others: list[object]) -> None:
    """What only looks the same is not asked for; 5 and 5.0 are one number."""
    store.add(flatten.spans(traces(span(attributes={"k": stored}))))
    assert [len(query.spans(where={"k": other})) for other in others] == [0] * len(others)
    assert len(query.spans(where={"k": stored})) == 1
    assert len(query.spans(where={"k": 5.0})) == (stored == 5)


def test_an_attribute_of_the_span_hides_that_of_the_resource(store: Store, query: Query) -> None:
    """The nearer one is meant, also when it has another value."""
    store.add(flatten.spans(traces(span(attributes={"zone": "near"}), zone="far")))
    assert [len(query.spans(where={"zone": zone})) for zone in ("near", "far")] == [1, 0]


def test_metrics_are_listed(store: Store, query: Query) -> None:
    """With the number of series of each."""
    metric = Metric(name="rows", unit="{row}", description="Rows.")
    metric.gauge.data_points.add(as_int=1)
    metric.gauge.data_points.add(as_int=1, attributes=pairs({"a": 1}))
    store.add(flatten_metrics.metrics(metrics(metric)))
    assert query.metrics() == [seen.Metric("rows", "gauge", "", "{row}", "Rows.", 2)]


def test_an_answer_is_of_one_moment(
    store: Store, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives between two statements of a call is not half in the answer."""

    def arrive() -> None:
        metric = Metric(name="rows")
        for name in "ab":
            metric.gauge.data_points.add(as_int=1, attributes=pairs({"name": name}))
        store.add(flatten_metrics.metrics(metrics(metric)))

    real = rows.series

    def disturbed(row: sqlite3.Row, points: list[sqlite3.Row]) -> seen.Series:
        arrive()
        return real(row, points)

    arrive()
    monkeypatch.setattr(rows, "series", disturbed)
    assert [len(found.points) for found in query.series("rows")] == [1, 1]
    assert [len(found.points) for found in query.series("rows")] == [3, 3]


def test_services_are_listed(filled: Store, query: Query) -> None:
    """Of all signals."""
    assert query.services() == ["beat", "web", "worker"]


def test_a_store_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    """Asking does not make the file."""
    path = tmp_path / "missing.sqlite3"
    with pytest.raises(StoreError) as caught:
        Query(path).traces()
    assert str(caught.value) == (
        f"cannot read the store {path}: unable to open database file; "
        "give the file that a viewer writes (`etl-telemetry view --store PATH`)"
    )
    assert not path.exists()
