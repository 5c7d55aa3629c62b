"""Whatever is sent: an answer that OTLP knows, a store that holds, a server that lives."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store
from support.otlp import JSON, PROTOBUF, send, span, traces
from support.patience import MORE, PATIENT

SIGNALS = st.sampled_from(["/v1/traces", "/v1/metrics", "/v1/logs"])
PACKERS = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}


@pytest.fixture(scope="module")
def target() -> Iterator[tuple[Receiver, Query]]:
    """Give one receiver for all examples: what one of them breaks, the next one sees."""
    with Store(max_rows=1000) as store, Receiver(store, max_body=100_000) as receiver:
        yield receiver, Query(store.path)


def check(target: tuple[Receiver, Query], path: str, body: bytes, **headers: str) -> int:
    """Send a body; all tables stay readable and the receiver takes a good span afterwards."""
    receiver, query = target
    code = send(receiver.address, path, body, **headers).status
    query.spans()
    query.logs()
    query.traces()
    for metric in query.metrics():
        query.series(metric.name)
    assert send(receiver.address, "/v1/traces", traces(span()).SerializeToString()).status == 200
    return code


@PATIENT
@given(SIGNALS, st.binary(max_size=300), st.sampled_from([PROTOBUF, JSON]))
def test_any_bytes(target: tuple[Receiver, Query], path: str, body: bytes, kind: str) -> None:
    """Random bytes are garbage or, by chance, a message."""
    assert check(target, path, body, content_type=kind) in (200, 400)


@PATIENT
@given(
    SIGNALS,
    st.binary(max_size=300),
    st.sampled_from(sorted(PACKERS)),
    st.sampled_from(["right", "wrong"]),
)
def test_any_compressed_bytes(
    target: tuple[Receiver, Query], path: str, body: bytes, encoding: str, packing: str
) -> None:
    """Right and wrong compression of anything."""
    packed = PACKERS[encoding](body) if packing == "right" else body
    assert check(target, path, packed, Content_Encoding=encoding) in (200, 400)


def damaged(wire: bytes) -> st.SearchStrategy[bytes]:
    """Give a message with some bytes changed, left out or doubled."""
    edit = st.tuples(st.integers(0, len(wire)), st.integers(0, 4), st.binary(max_size=4))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        found = wire
        for place, length, new in edits:
            found = found[:place] + new + found[place + length :]
        return found

    return st.lists(edit, max_size=5).map(apply)


RICH = span(parent="00f067aa0ba902b7", attributes={"a": [1, 2.5, True, b"x"], "b": "ü"})
RICH.events.add(name="e")
RICH.links.add(trace_id=b"\x01" * 16)


@PATIENT
@given(SIGNALS, damaged(traces(RICH, service_name="etl").SerializeToString()))
def test_damaged_messages(target: tuple[Receiver, Query], path: str, body: bytes) -> None:
    """Nearly right messages, also at the paths of the other signals."""
    assert check(target, path, body) in (200, 400)


NAMES = """
resourceSpans scopeSpans spans traceId spanId parentSpanId name kind startTimeUnixNano
attributes key value stringValue intValue doubleValue boolValue bytesValue arrayValue values
kvlistValue events links status code resource scope resourceMetrics scopeMetrics metrics sum
gauge histogram exponentialHistogram summary dataPoints asInt asDouble isMonotonic
aggregationTemporality count bucketCounts explicitBounds positive offset scale flags exemplars
timeUnixNano resourceLogs scopeLogs logRecords body severityNumber droppedAttributesCount
"""
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "9" * 30, "NaN"]),
    st.just("\ud800"),
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4)
    ),
    max_leaves=30,
)


def wrapped(signal: str, items: object) -> dict[str, object]:
    """Return a document whose items are where the signal has them."""
    shapes: dict[str, dict[str, object]] = {
        "/v1/traces": {"resourceSpans": [{"scopeSpans": [{"spans": items}]}]},
        "/v1/metrics": {"resourceMetrics": [{"scopeMetrics": [{"metrics": items}]}]},
        "/v1/logs": {"resourceLogs": [{"scopeLogs": [{"logRecords": items}]}]},
    }
    return shapes[signal]


@MORE
@given(SIGNALS, DOCUMENTS, st.sampled_from(["whole", "item"]))
def test_any_json(target: tuple[Receiver, Query], path: str, document: object, place: str) -> None:
    """Documents made of OTLP's own names with anything in them."""
    sent = wrapped(path, [document]) if place == "item" else document
    body = json.dumps(sent).encode()
    assert check(target, path, body, content_type=JSON) in (200, 400)


POINTS = st.fixed_dictionaries(
    {},
    optional={
        "asInt": st.integers(-(2**63), 2**63 - 1),
        "asDouble": st.floats(allow_nan=False) | st.sampled_from(["NaN", "Infinity"]),
        "count": st.integers(0, 2**64 - 1),
        "sum": st.floats(allow_nan=False, allow_infinity=False) | st.just("NaN"),
        "startTimeUnixNano": st.integers(0, 2**64 - 1) | st.integers(0, 3),
        "timeUnixNano": st.integers(0, 2**64 - 1) | st.integers(0, 3),
        "flags": st.integers(0, 3),
        "scale": st.integers(-(2**31), 2**31 - 1),
        "zeroThreshold": st.floats(0, 1),
        "positive": st.fixed_dictionaries(
            {"offset": st.integers(-(2**31), 2**31 - 1), "bucketCounts": st.just([1, 0, 2])}
        ),
        "explicitBounds": st.lists(st.floats(-2, 2), max_size=3),
        "bucketCounts": st.lists(st.integers(0, 2**64 - 1), max_size=4),
    },
)


@MORE
@given(
    st.sampled_from(["gauge", "sum", "histogram", "exponentialHistogram", "summary"]),
    st.lists(POINTS, max_size=4),
    st.integers(0, 3),
    st.sampled_from(["rises", "falls"]),
)
def test_any_points(
    target: tuple[Receiver, Query],
    kind: str,
    points: list[dict[str, object]],
    temporality: int,
    direction: str,
) -> None:
    """Extreme numbers, times and buckets: whatever is accepted can be summed."""
    name = f"{kind}.{direction}"
    allowed = {"gauge": ["asInt", "asDouble"], "sum": ["asInt", "asDouble"]}
    sort: list[str] = allowed.get(kind, ["count", "sum", "scale", "positive", "zeroThreshold"])
    common = ["startTimeUnixNano", "timeUnixNano", "flags"]
    if kind == "histogram":
        sort = ["count", "sum", "explicitBounds", "bucketCounts"]
    chosen = [{k: v for k, v in point.items() if k in [*sort, *common]} for point in points]
    data: dict[str, object] = {"dataPoints": chosen}
    if kind not in ("gauge", "summary"):
        data["aggregationTemporality"] = temporality
    if kind == "sum":
        data["isMonotonic"] = direction == "rises"
    body = json.dumps(wrapped("/v1/metrics", [{"name": name, kind: data}])).encode()
    assert check(target, "/v1/metrics", body, content_type=JSON) in (200, 400)
    for by in ((), ("a",)):
        target[1].sum_latest(name, by=by)


@PATIENT
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_question(target: tuple[Receiver, Query], path: str, query: str) -> None:
    """Any path and any parameters below /api."""
    receiver, _ = target
    safe = "".join(c for c in f"/api/v1/{path}?{query}" if "!" <= c <= "~")
    reply = send(receiver.address, safe, None, method="GET", content_type=None)
    assert reply.status in (200, 400, 404)
