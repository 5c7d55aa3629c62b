"""Measure how many spans per second the viewer takes: over HTTP, decoded, stored, answered.

    python tests/benchmarks/bench_receiver.py [--spans 200000]

Starts `etl-telemetry view` as a user does, sends batches as the SDK makes them (512 spans) from
two connections, asks the store whether every span is there, and writes receiver.json and
receiver.md into docs/benchmarks. The number to reach is 5,000 spans a second on two cores, for
protobuf, which is what the SDK's exporters send.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import opentelemetry.sdk.version
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from etl_telemetry.viewer.query import Query

GOAL = 5_000
BATCH = 512
CONNECTIONS = 2
OUTPUT = Path(__file__).parents[2] / "docs" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Figure:
    """What one case measured."""

    encoding: str
    """How the bodies were encoded."""
    spans: int
    """Spans sent, and found in the store afterwards."""
    seconds: float
    """From the first request to the last answer."""
    spans_per_second: int
    """Ingested end to end."""
    spans_per_cpu_second: int
    """The same by the CPU time of the viewer alone, its start included."""
    bytes_per_span: int
    """On the wire."""


def batch(first: int) -> ExportTraceServiceRequest:
    """Return spans as a web application makes them: ten attributes, every tenth with an event."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(
        [text("service.name", "shop"), text("service.instance.id", "4f3c0b1e")]
    )
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.django"
    for number in range(first, first + BATCH):
        span = scope.spans.add(
            trace_id=(number // 8 + 1).to_bytes(16),
            span_id=(number + 1).to_bytes(8),
            parent_span_id=(number // 8 * 8 + 1).to_bytes(8) if number % 8 else b"",
            name="GET orders/<int:pk>/",
            kind=2,
            start_time_unix_nano=1_795_353_064_000_000_000 + number * 1_000,
            end_time_unix_nano=1_795_353_064_010_000_000 + number * 1_000,
        )
        span.attributes.extend(
            [
                text("http.request.method", "GET"),
                text("url.scheme", "https"),
                text("server.address", "shop.example"),
                KeyValue(key="server.port", value=AnyValue(int_value=443)),
                text("http.route", "orders/<int:pk>/"),
                text("url.path", f"/orders/{number}/"),
                KeyValue(key="http.response.status_code", value=AnyValue(int_value=200)),
                text("network.protocol.version", "1.1"),
                text("client.address", "192.0.2.7"),
                text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"),
            ]
        )
        if number % 10 == 0:
            span.events.add(name="cache.miss", time_unix_nano=1_795_353_064_005_000_000)
    return request


def text(key: str, value: str) -> KeyValue:
    """Return a text attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """Return a batch in OTLP's JSON, which no exporter of Python writes."""

    def plain(value: AnyValue) -> dict[str, str]:
        if value.HasField("int_value"):
            return {"intValue": str(value.int_value)}
        return {"stringValue": value.string_value}

    group = request.resource_spans[0]
    spans = [
        {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "parentSpanId": span.parent_span_id.hex(),
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": str(span.start_time_unix_nano),
            "endTimeUnixNano": str(span.end_time_unix_nano),
            "attributes": [{"key": a.key, "value": plain(a.value)} for a in span.attributes],
            "events": [{"name": event.name} for event in span.events],
        }
        for span in group.scope_spans[0].spans
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


ENCODINGS = {
    "protobuf": (ExportTraceServiceRequest.SerializeToString, {}),
    "protobuf, gzip": (
        lambda request: gzip.compress(request.SerializeToString(), 6),
        {"Content-Encoding": "gzip"},
    ),
    "JSON": (as_json, {"Content-Type": "application/json"}),
}


@contextmanager
def viewing(store: Path) -> Iterator[tuple[str, list[float]]]:
    """Run the command; give its address and, after the end, its CPU seconds."""
    command = [str(Path(sys.executable).with_name("etl-telemetry")), "view", "--port", "0"]
    with subprocess.Popen(
        [*command, "--store", str(store)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "OTLP_ENDPOINT" in line)
        used: list[float] = []
        try:
            yield line.strip().partition("=")[2], used
        finally:
            process.send_signal(signal.SIGTERM)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used.append(usage.ru_utime + usage.ru_stime)


def post_all(address: str, bodies: Sequence[bytes], headers: dict[str, str]) -> None:
    """Send bodies one after the other on one connection, as one exporter does."""
    client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    for body in bodies:
        sent = {"Content-Type": "application/x-protobuf"} | headers
        client.request("POST", "/v1/traces", body, sent)
        answer = client.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the viewer answered {answer.status}")
    client.close()


def measure(encoding: str, batches: Sequence[ExportTraceServiceRequest]) -> Figure:
    """Send all batches in one encoding."""
    encode, headers = ENCODINGS[encoding]
    bodies = [encode(request) for request in batches]
    spans = len(bodies) * BATCH
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "telemetry.sqlite3"
        with viewing(store) as (address, used), ThreadPoolExecutor(CONNECTIONS) as pool:
            begin = time.perf_counter()
            shares = [bodies[part::CONNECTIONS] for part in range(CONNECTIONS)]
            list(pool.map(lambda share: post_all(address, share, headers), shares))
            seconds = time.perf_counter() - begin
        found = Query(store).counts()["spans"]
    if found != spans:
        raise SystemExit(f"{encoding}: sent {spans} spans, the store has {found}")
    return Figure(
        encoding=encoding,
        spans=spans,
        seconds=round(seconds, 2),
        spans_per_second=round(spans / seconds),
        spans_per_cpu_second=round(spans / used[0]),
        bytes_per_span=round(sum(map(len, bodies)) / spans),
    )


def facts(figures: Sequence[Figure], command: str) -> dict[str, object]:
    """Return everything that is needed to judge the figures."""
    return {
        "command": command,
        "goal_spans_per_second": GOAL,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "opentelemetry": opentelemetry.sdk.version.__version__,
        "batch": BATCH,
        "connections": CONNECTIONS,
        "figures": [
            {name: getattr(figure, name) for name in Figure.__slots__} for figure in figures
        ],
    }


def page(figures: Sequence[Figure], command: str) -> str:
    """Return the figures as a page."""
    rows = [
        f"| {f.encoding} | {f.spans_per_second:,} | {f.spans_per_cpu_second:,} "
        f"| {f.bytes_per_span} |"
        for f in figures
    ]
    return "\n".join(
        [
            "---",
            "orphan: true",
            "---",
            "",
            "# Receiver: spans per second",
            "",
            "From the first request to the last answer, over HTTP, decoded and stored; then every",
            f"span was found in the store. Batches of {BATCH} spans with ten attributes from",
            f"{CONNECTIONS} connections; client and viewer share {os.cpu_count()} cores",
            f"({platform.machine()}, Python {platform.python_version()}).",
            f"The number to reach is {GOAL:,} for protobuf, which is what the SDK's exporters",
            "send; JSON is read by protobuf's own Python code.",
            "",
            "| encoding | spans/s | per CPU second of the viewer | bytes a span |",
            "| --- | --: | --: | --: |",
            *rows,
            "",
            "Made by",
            "",
            "```text",
            command,
            "```",
            "",
        ]
    )


def main() -> None:
    """Measure every encoding and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spans", type=int, default=100_000, help="spans per encoding")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the results")
    options = parser.parse_args()
    count = max(CONNECTIONS, options.spans // BATCH)
    batches = [batch(number * BATCH) for number in range(count)]
    figures = []
    for encoding in ENCODINGS:
        figures.append(measure(encoding, batches))
        sys.stdout.write(f"{encoding}: {figures[-1].spans_per_second:,} spans/s\n")
    command = f"python tests/benchmarks/bench_receiver.py --spans {options.spans}"
    options.output.mkdir(parents=True, exist_ok=True)
    report = json.dumps(facts(figures, command), indent=2)
    (options.output / "receiver.json").write_text(f"{report}\n")
    (options.output / "receiver.md").write_text(page(figures, command))
    if any(f.spans_per_second < GOAL for f in figures if f.encoding != "JSON"):
        sys.stdout.write(f"Below {GOAL:,} spans/s: measure again on an idle machine.\n")


if __name__ == "__main__":
    main()
