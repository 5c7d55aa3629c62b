"""The two encodings of OTLP/HTTP."""

from __future__ import annotations

import json

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

from etl_telemetry.viewer.wire import WireError, decode, encode, status
from support.otlp import JSON, PROTOBUF, SPAN_ID, TRACE_ID, span


def decoded(document: object) -> ExportTraceServiceRequest:
    """Return a JSON document as a message."""
    return decode(json.dumps(document).encode(), JSON, ExportTraceServiceRequest)


def one_span(**fields: object) -> dict[str, object]:
    """Return a JSON document with one span."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}


def test_json_and_protobuf_say_the_same() -> None:
    """Ids in hex, int64 as text, camelCase, bytes in base64: equal to the binary message."""
    document = one_span(
        traceId=TRACE_ID.upper(),
        spanId=SPAN_ID,
        parentSpanId="00f067aa0ba902b7",
        name="load",
        startTimeUnixNano="1000",
        endTimeUnixNano=2000,
        kind=2,
        status={"code": "STATUS_CODE_ERROR"},
        links=[{"traceId": TRACE_ID, "spanId": SPAN_ID}],
        attributes=[
            {"key": "traceId", "value": {"stringValue": "not an id"}},
            {"key": "raw", "value": {"bytesValue": "AAH/"}},
            {"key": "rows", "value": {"intValue": "9007199254740993"}},
        ],
        somethingNew={"of": ["a", "later", "version"]},
    )
    attributes = {"traceId": "not an id", "raw": b"\x00\x01\xff", "rows": 2**53 + 1}
    expected = span(parent="00f067aa0ba902b7", attributes=attributes)
    expected.kind = 2
    expected.status.code = SpanStatus.STATUS_CODE_ERROR
    expected.links.add(trace_id=bytes.fromhex(TRACE_ID), span_id=bytes.fromhex(SPAN_ID))
    message = decoded(document)
    assert message.resource_spans[0].scope_spans[0].spans[0] == expected
    assert decode(message.SerializeToString(), PROTOBUF, ExportTraceServiceRequest) == message


def test_enums_may_be_names_or_numbers() -> None:
    """Both ways of writing a kind mean the same."""
    assert decoded(one_span(kind=3)) == decoded(one_span(kind="SPAN_KIND_CLIENT"))


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_not() -> None:
    """Protobuf fails on the half with a SystemError, which is nobody's mistake but the body's."""
    text = decoded(one_span(name="\U0001f600")).resource_spans[0].scope_spans[0].spans[0].name
    assert text == "\U0001f600"
    for document in ({"\ud800": 1}, one_span(name="\ud800"), {"resourceSpans": ["\udfff"]}):
        with pytest.raises(WireError, match=r"surrogates not allowed$"):
            decoded(document)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 100_000, "maximum recursion depth exceeded while decoding a JSON array"),
    ],
)
def test_broken_json_is_named(body: bytes, message: str) -> None:
    """The error says what the body should be and what is wrong with it."""
    with pytest.raises(WireError) as caught:
        decode(body, JSON, ExportTraceServiceRequest)
    head = "cannot read the body as ExportTraceServiceRequest in application/json: "
    assert str(caught.value).startswith(head + message)


def test_json_of_another_shape_is_named() -> None:
    """A list, an id that is not hex: errors of their own."""
    with pytest.raises(WireError, match=r"^the body must be a JSON object, got list$"):
        decode(b"[]", JSON, ExportTraceServiceRequest)
    with pytest.raises(WireError, match=r"^spanId must be hexadecimal digits, got 'xyz'$"):
        decoded(one_span(spanId="xyz"))
    with pytest.raises(WireError, match="Failed to parse resourceSpans field"):
        decoded({"resourceSpans": 5})


def test_broken_protobuf_is_named() -> None:
    """The error says what the body should be."""
    with pytest.raises(WireError) as caught:
        decode(b"garbage", PROTOBUF, ExportTraceServiceRequest)
    assert str(caught.value).startswith(
        "cannot read the body as ExportTraceServiceRequest in application/x-protobuf: "
    )


def test_answers_come_in_the_encoding_of_the_request() -> None:
    """A response as camelCase JSON with int64 as text, or as protobuf."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 2
    assert json.loads(encode(response, JSON)) == {"partialSuccess": {"rejectedSpans": "2"}}
    assert ExportTraceServiceResponse.FromString(encode(response, PROTOBUF)) == response
    assert status(3, "why") == Status(code=3, message="why")
