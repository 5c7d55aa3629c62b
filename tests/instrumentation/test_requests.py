"""requests: baggage to named hosts only, and no hook that can break the call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from opentelemetry import baggage, context
from opentelemetry.instrumentation.requests import RequestsInstrumentor

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.instrumentation import requests as ours
from etl_telemetry.instrumentation import table
from etl_telemetry.runtime import propagation
from support.telemetry import Telemetry


class Server(ThreadingHTTPServer):
    """Answer everything, remember the headers, and redirect `/away` to another host name."""

    daemon_threads = True

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def url(self, host: str = "localhost", path: str = "/") -> str:
        """Return an URL of this server."""
        return f"http://{host}:{self.server_address[1]}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        away = self.path == "/away"
        self.send_response(302 if away else 200)
        if away:
            self.send_header("Location", self.server.url("127.0.0.1"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Run the server while the test runs."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _personal_baggage() -> Iterator[None]:
    token = context.attach(baggage.set_baggage("user", "ada"))
    yield
    context.detach(token)


def get(url: str) -> int:
    """Fetch ``url`` without the environment's proxies."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=30).status_code


def test_the_default_propagators_send_the_baggage_to_everybody(server: Server) -> None:
    """The trap itself: upstream's own propagators give personal data to any host."""
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.propagate import set_global_textmap

    set_global_textmap(W3CBaggagePropagator())
    RequestsInstrumentor().instrument()
    try:
        get(server.url())
    finally:
        RequestsInstrumentor().uninstrument()
    assert server.headers[0]["baggage"] == "user=ada"


@pytest.mark.parametrize(
    ("hosts", "carried"),
    [
        ((), False),
        (("example.com",), False),
        (("localhost",), True),
        (("LOCALHOST",), True),
        ((".localhost",), True),
        ((".host",), False),
    ],
)
def test_baggage_goes_to_named_hosts_only(
    *, hosts: tuple[str, ...], carried: bool, server: Server, seen: Telemetry
) -> None:
    """Trace context goes to every host, baggage to those of `baggage_hosts`."""
    table.instrument(Config(instrumentations=("requests",), baggage_hosts=hosts))
    assert get(server.url()) == 200
    (headers,) = server.headers
    assert headers.get("baggage") == ("user=ada" if carried else None)
    (span,) = seen.spans()
    assert span.context is not None
    assert headers["traceparent"].split("-")[2] == f"{span.context.span_id:016x}"


def test_a_redirect_does_not_carry_the_baggage_to_another_host(server: Server) -> None:
    """A named host that answers with a redirect cannot pass the baggage on."""
    table.instrument(Config(instrumentations=("requests",), baggage_hosts=("localhost",)))
    assert get(server.url(path="/away")) == 200
    assert [headers.get("baggage") for headers in server.headers] == ["user=ada", None]


def test_a_hook_of_the_instrumentor_breaks_the_call_unless_it_is_guarded(server: Server) -> None:
    """The trap itself, and that our guard counts the error and lets the call go on."""

    def hook(*_: Any) -> None:
        raise ValueError("in a hook")

    RequestsInstrumentor().instrument(request_hook=hook)
    try:
        with pytest.raises(ValueError, match="in a hook"):
            get(server.url())
    finally:
        RequestsInstrumentor().uninstrument()

    before = guard.drops().get("internal_error", 0)
    RequestsInstrumentor().instrument(request_hook=ours.guarded(hook))
    try:
        assert get(server.url()) == 200
    finally:
        RequestsInstrumentor().uninstrument()
    assert guard.drops()["internal_error"] == before + 1


def test_our_own_hook_is_guarded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A propagator that fails costs the headers, not the application's call."""
    table.instrument(Config(instrumentations=("requests",), baggage_hosts=("localhost",)))
    monkeypatch.setattr(propagation, "to_named_place", lambda: 1 / 0)
    assert get(server.url()) == 200
