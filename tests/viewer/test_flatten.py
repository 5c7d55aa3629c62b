"""OTLP messages to rows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from etl_telemetry.viewer.flatten import (
    MAX_INTEGER,
    LogRow,
    Source,
    SpanRow,
    attributes,
    canonical,
    plain,
    spans,
)
from etl_telemetry.viewer.flatten import logs as flatten_logs
from support.otlp import SPAN_ID, TRACE_ID, logs, pairs, span, traces, value
from support.patience import PATIENT

scalars = st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans()
finite = st.floats(allow_nan=False, allow_infinity=False)


@PATIENT
@given(st.recursive(scalars | finite, st.lists, max_leaves=10))
def test_values_survive(item: object) -> None:
    """Text, integers, booleans, floats and nested lists come out as they went in."""
    assert repr(plain(value(item))) == repr(item)


def test_values_that_json_lacks_get_a_name() -> None:
    """NaN, bytes, an empty value and a map."""
    special = [plain(value(item)) for item in (math.nan, math.inf, -math.inf)]
    assert special == ["NaN", "Infinity", "-Infinity"]
    assert plain(value(b"\x00\xff")) == "AP8="
    assert plain(AnyValue()) is None
    nested = AnyValue(kvlist_value=KeyValueList(values=pairs({"a": 1})))
    assert plain(nested) == {"a": 1}


def test_the_last_of_equal_keys_stays() -> None:
    """A key that occurs twice cannot break the item."""
    assert attributes([*pairs({"a": 1}), *pairs({"a": 2})]) == {"a": 2}


def test_a_span_becomes_a_row() -> None:
    """Every field arrives, and the writer with it."""
    item = span(parent="00f067aa0ba902b7", attributes={"b": 1, "a": "ü"})
    item.kind = 5
    item.status.code = 2
    item.status.message = "no"
    item.end_time_unix_nano = 2**64 - 1
    item.events.add(name="retry", time_unix_nano=7, attributes=pairs({"n": 1}))
    item.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    batch = spans(traces(item, service_name="etl"))
    row = SpanRow(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_span_id="00f067aa0ba902b7",
        name="load",
        kind="consumer",
        start_ns=1_000,
        end_ns=MAX_INTEGER,
        status="error",
        status_message="no",
        attributes='{"b":1,"a":"ü"}',
        events='[["retry",7,{"n":1}]]',
        links='[["' + "01" * 16 + '","' + "02" * 8 + '",{}]]',
    )
    assert batch.spans == [(Source('{"service.name":"etl"}', "tests", "1", "etl"), [row])]
    assert not batch.rejected


@pytest.mark.parametrize(
    ("field", "wrong", "reason"),
    [
        ("trace_id", b"", "trace_id must be 16 bytes, not all zero"),
        ("trace_id", bytes(16), "trace_id must be 16 bytes, not all zero"),
        ("trace_id", b"\x01" * 15, "trace_id must be 16 bytes, not all zero"),
        ("span_id", bytes(8), "span_id must be 8 bytes, not all zero"),
        ("span_id", b"\x01" * 9, "span_id must be 8 bytes, not all zero"),
        ("parent_span_id", b"\x01", "parent_span_id must be 8 bytes or empty"),
    ],
)
def test_a_span_with_a_wrong_id_is_rejected_alone(field: str, wrong: bytes, reason: str) -> None:
    """The others of the batch are kept."""
    bad = span()
    setattr(bad, field, wrong)
    batch = spans(traces(bad, span(name="good")))
    assert [row.name for _, rows in batch.spans for row in rows] == ["good"]
    assert batch.rejected == {reason: 1}


def test_unknown_enum_numbers_are_unspecified() -> None:
    """A kind of a later version of OTLP does not cost the span."""
    item = span()
    item.kind = 99
    item.status.code = 7
    ((_, (row,)),) = spans(traces(item)).spans
    assert (row.kind, row.status) == ("unspecified", "unset")


def test_a_zero_parent_means_a_root() -> None:
    """Some writers send eight zero bytes instead of nothing."""
    ((_, (row,)),) = spans(traces(span(parent="0" * 16))).spans
    assert row.parent_span_id is None


def test_a_log_record_becomes_a_row() -> None:
    """Every field arrives; ids that are not valid mean "outside a trace"."""
    record = LogRecord(
        time_unix_nano=5,
        observed_time_unix_nano=6,
        severity_number=17,
        severity_text="ERROR",
        event_name="user_login",
        body=value(["a", 1]),
        trace_id=bytes.fromhex(TRACE_ID),
        span_id=b"\x01",
        attributes=pairs({"k": "v"}),
    )
    batch = flatten_logs(logs(record, logger="etl"))
    row = LogRow(5, 6, 17, "ERROR", "user_login", '["a",1]', TRACE_ID, None, '{"k":"v"}')
    assert batch.logs == [(Source("{}", "etl", "", ""), [row])]


def test_a_service_name_of_another_type_is_text() -> None:
    """Whoever sets it to a number still gets a service."""
    assert spans(traces(span(), service_name=5)).spans[0][0].service == "5"


@PATIENT
@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=5))
def test_equal_writers_are_equal_text(items: dict[str, object]) -> None:
    """The order of attributes does not tell writers apart."""
    assert canonical(items) == canonical(dict(reversed(items.items())))
