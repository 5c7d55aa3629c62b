"""POST /v1/...: what the receiver answers over real HTTP."""

from __future__ import annotations

import gzip
import json
import socket
import sqlite3
import zlib

import pytest
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver, ReceiverError
from etl_telemetry.viewer.store import Store
from support.otlp import (
    JSON,
    PROTOBUF,
    SPAN_ID,
    TRACE_ID,
    Reply,
    logs,
    metrics,
    send,
    span,
    traces,
    value,
)

SIGNALS = ["/v1/traces", "/v1/metrics", "/v1/logs"]


def a_gauge() -> Metric:
    """Return a metric with one good and one wrong point."""
    metric = Metric(name="size")
    metric.gauge.data_points.add(as_int=5)
    metric.gauge.data_points.add()
    return metric


def status_of(reply: Reply) -> tuple[int, str]:
    """Return code and message of an error's body, in whichever encoding it came."""
    if reply.headers["content-type"] == JSON:
        found = json.loads(reply.body)
        return found["code"], found["message"]
    assert reply.headers["content-type"] == PROTOBUF
    status = Status.FromString(reply.body)
    return status.code, status.message


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_all_signals_arrive_as_protobuf(receiver: Receiver, query: Query, encoding: str) -> None:
    """200 with an empty response in the same content type, whatever the compression."""
    pack = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    bodies = [
        traces(span()),
        metrics(Metric(name="empty")),
        logs(LogRecord(body=value("hi"))),
    ]
    for path, message in zip(SIGNALS, bodies, strict=True):
        reply = send(
            receiver.address, path, pack(message.SerializeToString()), Content_Encoding=encoding
        )
        assert (reply.status, reply.headers["content-type"], reply.body) == (200, PROTOBUF, b"")
    assert (len(query.spans()), len(query.logs())) == (1, 1)


def test_hand_written_json_arrives(receiver: Receiver, query: Query) -> None:
    """The JSON of the OTLP documentation, with a charset in the content type."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "etl"}}]}
    spans = {"traceId": TRACE_ID, "spanId": SPAN_ID, "name": "load", "startTimeUnixNano": "5"}
    record = {"body": {"stringValue": "hi"}, "traceId": TRACE_ID, "spanId": SPAN_ID}
    point = {"asInt": "7", "timeUnixNano": "5", "startTimeUnixNano": "1"}
    total = {"dataPoints": [point], "isMonotonic": True, "aggregationTemporality": 2}
    documents: list[dict[str, object]] = [
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [spans]}]}]},
        {
            "resourceMetrics": [
                {"resource": resource, "scopeMetrics": [{"metrics": [{"name": "n", "sum": total}]}]}
            ]
        },
        {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]},
    ]
    for path, document in zip(SIGNALS, documents, strict=True):
        body = json.dumps(document).encode()
        kind = "Application/JSON; charset=utf-8"
        reply = send(receiver.address, path, body, content_type=kind)
        assert (reply.status, reply.json()) == (200, {})
    (found,) = query.trace(TRACE_ID)
    assert (found.name, found.start_ns, found.service) == ("load", 5, "etl")
    assert [log.body for log in query.logs(trace_id=TRACE_ID)] == ["hi"]
    assert query.sum_latest("n") == {(): 7}


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_partial_success_tells_what_was_left_out(
    receiver: Receiver, query: Query, kind: str
) -> None:
    """200, the number of rejected items and why; the others are kept."""
    short, zero = span(), span()
    short.trace_id = b"\x01"
    zero.span_id = bytes(8)
    if kind == JSON:
        items = [
            {"traceId": "01", "spanId": SPAN_ID},
            {"traceId": TRACE_ID, "spanId": "0" * 16},
            {"traceId": TRACE_ID, "spanId": SPAN_ID, "name": "load"},
        ]
        document = {"resourceSpans": [{"scopeSpans": [{"spans": items}]}]}
        reply = send(
            receiver.address, "/v1/traces", json.dumps(document).encode(), content_type=kind
        )
        partial = json.loads(reply.body)["partialSuccess"]
        found = (int(partial["rejectedSpans"]), partial["errorMessage"])
    else:
        body = traces(short, zero, span()).SerializeToString()
        reply = send(receiver.address, "/v1/traces", body)
        response = ExportTraceServiceResponse.FromString(reply.body).partial_success
        found = (response.rejected_spans, response.error_message)
    message = (
        "1 x span_id must be 8 bytes, not all zero; 1 x trace_id must be 16 bytes, not all zero"
    )
    assert (reply.status, found) == (200, (2, message))
    assert [kept.name for kept in query.spans()] == ["load"]


def test_partial_success_counts_data_points(receiver: Receiver, query: Query) -> None:
    """A point without a value is not worth the batch."""
    reply = send(receiver.address, "/v1/metrics", metrics(a_gauge()).SerializeToString())
    partial = ExportMetricsServiceResponse.FromString(reply.body).partial_success
    assert (reply.status, partial.rejected_data_points, partial.error_message) == (
        200,
        1,
        "1 x a number data point must have a value",
    )
    assert query.sum_latest("size") == {(): 5}


@pytest.mark.parametrize("path", SIGNALS)
@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_garbage_is_400_in_the_same_encoding(receiver: Receiver, path: str, kind: str) -> None:
    """A google.rpc.Status that says what the body should be; the exporter must not try again."""
    reply = send(receiver.address, path, b"garbage", content_type=kind)
    code, message = status_of(reply)
    name = {
        "/v1/traces": ExportTraceServiceRequest,
        "/v1/metrics": ExportMetricsServiceRequest,
        "/v1/logs": ExportLogsServiceRequest,
    }[path].DESCRIPTOR.name
    assert (reply.status, reply.headers["content-type"], code) == (400, kind, 3)
    assert message.startswith(f"cannot read the body as {name} in {kind}: ")


@pytest.mark.parametrize(
    ("path", "response"),
    [
        ("/v1/traces", ExportTraceServiceResponse),
        ("/v1/metrics", ExportMetricsServiceResponse),
        ("/v1/logs", ExportLogsServiceResponse),
    ],
)
def test_an_empty_request_is_fine(receiver: Receiver, path: str, response: type[Message]) -> None:
    """Zero bytes are an empty message."""
    reply = send(receiver.address, path, b"")
    assert (reply.status, response.FromString(reply.body)) == (200, response())


def test_other_content_types_are_415(receiver: Receiver) -> None:
    """The answer names what there is; a browser's form cannot post here."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        reply = send(receiver.address, "/v1/traces", b"x", content_type=kind)
        code, message = status_of(reply)
        assert (reply.status, reply.headers["accept"], code) == (415, f"{PROTOBUF}, {JSON}", 2)
        wanted = "Content-Type must be application/x-protobuf or application/json, got "
        assert message == f"{wanted}{kind or ''!r}"


def test_other_encodings_are_415(receiver: Receiver) -> None:
    """The answer names what there is."""
    reply = send(receiver.address, "/v1/traces", b"x", Content_Encoding="br")
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "gzip, deflate, identity")


def test_a_body_past_the_bound_is_413(receiver: Receiver, query: Query) -> None:
    """Sent or decompressed; the client gets to read it although it is still sending."""
    too_large = traces(span(attributes={"x": "y" * 100_000})).SerializeToString()
    for body, encoding in (
        (too_large, "identity"),
        (gzip.compress(too_large), "gzip"),
        (zlib.compress(bytes(10**7)), "deflate"),
        (bytes(5 * 10**6), "identity"),
    ):
        reply = send(receiver.address, "/v1/traces", body, Content_Encoding=encoding)
        assert (reply.status, status_of(reply)[0]) == (413, 8)
    assert query.spans() == []


def test_a_body_without_length_is_411(receiver: Receiver) -> None:
    """HTTP/1.1 says so; a client library always sends one, so this is written by hand."""
    answer = raw(
        receiver,
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 411 Length Required\r\n")


def raw(receiver: Receiver, wire: bytes) -> bytes:
    """Send bytes, stop sending, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=30) as client:
        client.sendall(wire)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(65536):
            received += data
        return received


def test_chunks_arrive(receiver: Receiver, query: Query) -> None:
    """As the JavaScript SDK sends them."""
    body = traces(span()).SerializeToString()
    wire = (
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    )
    assert raw(receiver, wire).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(query.spans()) == 1


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(receiver: Receiver) -> None:
    """`Expect: 100-continue`, as curl does: the line must not wait for the body."""
    body = traces(span()).SerializeToString()
    head = (
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body)
    )
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=30) as client:
        client.sendall(head)
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_other_paths_are_404(receiver: Receiver) -> None:
    """The answer says where things are, as protobuf where protobuf was sent."""
    message = (
        "there is nothing at /v1/trace; telemetry goes to "
        "/v1/traces, /v1/metrics and /v1/logs, questions to /api/v1"
    )
    for kind in (PROTOBUF, JSON):
        reply = send(receiver.address, "/v1/trace", b"x", content_type=kind)
        assert (reply.status, reply.headers["content-type"]) == (404, kind)
        assert status_of(reply) == (5, message)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_other_methods_are_405(receiver: Receiver, method: str) -> None:
    """With the header that says which one it takes."""
    reply = send(receiver.address, "/v1/traces", None, method=method, content_type=None)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    other = send(receiver.address, "/api/v1/traces", b"")
    assert (other.status, other.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("wire", "line"),
    [
        (b"garbage\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/9.9\r\n\r\n", b"HTTP/1.1 505 HTTP Version Not Supported"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"HTTP/1.1 414 "),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
    ],
)
def test_malformed_http_gets_a_status_as_json(receiver: Receiver, wire: bytes, line: bytes) -> None:
    """No page of HTML, and no silent end."""
    head, _, body = raw(receiver, wire).partition(b"\r\n\r\n")
    assert head.startswith(line)
    assert json.loads(body)["message"]


def test_a_store_that_cannot_write_is_503(receiver: Receiver, store: Store, query: Query) -> None:
    """Retryable, with the time after which to try; when the store is back, all is well."""
    body = traces(span()).SerializeToString()
    blocker = sqlite3.connect(store.path, isolation_level=None)
    store._db.execute("PRAGMA busy_timeout = 50")
    blocker.execute("BEGIN IMMEDIATE")
    reply = send(receiver.address, "/v1/traces", body)
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert status_of(reply) == (14, f"cannot write to the store {store.path}: database is locked")
    blocker.close()
    assert send(receiver.address, "/v1/traces", body).status == 200
    assert len(query.spans()) == 1


def test_a_failure_of_ours_is_500_and_the_receiver_goes_on(
    receiver: Receiver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter must not send the same batch again and again into a bug."""
    body = traces(span()).SerializeToString()
    with monkeypatch.context() as patch:
        patch.setattr(store, "add", lambda batch: 1 / 0)
        reply = send(receiver.address, "/v1/traces", body)
    assert (reply.status, status_of(reply)) == (500, (13, "the viewer failed; its log says how"))
    assert send(receiver.address, "/v1/traces", body).status == 200


def test_connections_are_counted(receiver: Receiver) -> None:
    """So that a test can prove that a command made none."""
    assert receiver.connections == 0
    send(receiver.address, "/v1/traces", b"")
    send(receiver.address, "/v1/traces", b"")
    assert receiver.connections == 2


def test_a_port_in_use_says_what_to_do(receiver: Receiver, store: Store) -> None:
    """What, value, fix."""
    second = Receiver(store, port=receiver.port)
    with pytest.raises(ReceiverError) as caught:
        second.start()
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1 port {receiver.port}: [Errno 98] Address already in use; "
        "stop what uses the port, or choose another one with --port (0: any free one)"
    )


def test_a_receiver_begins_once(store: Store) -> None:
    """No port before the start, no second start, and stopping twice is harmless."""
    receiver = Receiver(store)
    receiver.stop()
    assert receiver.connections == 0
    with pytest.raises(RuntimeError, match=r"^a receiver has no port before start\(\)$"):
        _ = receiver.address
    with receiver:
        with pytest.raises(RuntimeError, match=r"^this receiver was started before; make a new"):
            receiver.start()
        address = receiver.address
    receiver.stop()
    with pytest.raises(ConnectionRefusedError):
        send(address, "/v1/traces", b"")


def test_it_listens_on_this_machine_only(receiver: Receiver) -> None:
    """By default."""
    assert receiver.address == f"http://127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("::1", "[::1]"), ("::", "[::1]"), ("0.0.0.0", "127.0.0.1")],  # noqa: S104 -- the case
)
def test_the_address_can_be_used_as_it_is(store: Store, host: str, shown: str) -> None:
    """IPv6 in brackets; "everywhere" by an address that a client can reach."""
    with Receiver(store, host=host) as receiver:
        assert receiver.address == f"http://{shown}:{receiver.port}"
        assert send(receiver.address, "/v1/traces", b"").status == 200
