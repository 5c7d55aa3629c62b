"""The exporters that a configuration asks for, and what their receivers answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from etl_telemetry import guard
from etl_telemetry.config import resolve
from etl_telemetry.runtime import exporters
from support.process import receiving, run

KINDS = (exporters.span_exporter, exporters.metric_exporter, exporters.log_exporter)


def _names(**options: object) -> list[str | None]:
    config = resolve(options, {}, None)
    made = [kind(config) for kind in KINDS]
    for exporter in made:
        if exporter is not None:
            exporter.shutdown()
    return [None if exporter is None else type(exporter).__module__ for exporter in made]


def test_http_is_the_default_and_grpc_an_option() -> None:
    """The protocol decides the exporter, for all signals or for one."""
    http, grpc = "opentelemetry.exporter.otlp.proto.http", "opentelemetry.exporter.otlp.proto.grpc"
    rooms = ("trace_exporter", "metric_exporter", "_log_exporter")
    assert _names() == [f"{http}.{room}" for room in rooms]
    assert _names(protocol="grpc") == [f"{grpc}.{room}" for room in rooms]
    assert _names(metrics_protocol="grpc")[:2] == [f"{http}.{rooms[0]}", f"{grpc}.{rooms[1]}"]


@pytest.mark.parametrize("signal", [0, 1, 2])
def test_each_signal_can_be_switched_off(signal: int) -> None:
    """`none` makes no exporter for its signal, and leaves the others."""
    option = ("traces_exporter", "metrics_exporter", "logs_exporter")[signal]
    assert [name is None for name in _names(**{option: "none"})] == [
        index == signal for index in range(3)
    ]


def test_tracing_false_switches_traces_off() -> None:
    """The users' `ENABLE_TRACING=false` leaves metrics and logs."""
    assert [name is None for name in _names(tracing=False)] == [True, False, False]


def test_an_endpoint_of_one_signal_is_taken_as_it_is() -> None:
    """Only the common endpoint gets the signal's path (OTLP exporter specification)."""
    config = resolve({"endpoint": "http://a:1/base/", "logs_endpoint": "http://b:2/mine"}, {}, None)
    made = [kind(config) for kind in KINDS]
    assert [exporter._endpoint for exporter in made if exporter is not None] == [  # type: ignore[union-attr]
        "http://a:1/base/v1/traces",
        "http://a:1/base/v1/metrics",
        "http://b:2/mine",
    ]


@contextmanager
def _partly_accepting(rejected: int) -> Iterator[str]:
    """Answer every request with a partial success."""
    body = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=rejected)
    ).SerializeToString()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_a_receiver_rejects_of_a_batch_is_counted() -> None:
    """A partial success is no success for the rejected part; the exporters never look."""
    script = """
        from etl_telemetry import guard, setup_telemetry, span
        telemetry = setup_telemetry(instrumentations=(), metrics_exporter="none")
        with span("work"):
            pass
        telemetry.force_flush(30)
        print(guard.drops())
    """
    with _partly_accepting(3) as address:
        result = run(script, address)
    assert (result.returncode, result.stdout) == (0, "{'not_delivered': 3}\n")


def test_grpc_reaches_no_http_receiver_and_the_loss_is_counted() -> None:
    """A protocol that the receiver does not speak is a loss that shows."""
    script = """
        from etl_telemetry import guard, setup_telemetry, span
        setup_telemetry(instrumentations=(), metrics_exporter="none", logs_exporter="none")
        with span("work"):
            pass
        import atexit
        atexit.register(lambda: None)
    """
    with receiving() as (receiver, query):
        result = run(script, receiver.address, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", timeout=120)
        assert result.returncode == 0
        assert query.spans() == []
    assert "telemetry_not_delivered" in result.stderr


def test_the_session_reads_no_environment_while_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is read once, when the exporter is made; `netrc` never (see its docstring)."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "localhost")
    guard.reset_after_fork()
    session = exporters._session("http://collector:4318/v1/traces")
    assert (session.trust_env, session.proxies["http"]) == (False, "http://proxy:3128")
    assert exporters._session("http://localhost:4318/v1/traces").proxies == {}
