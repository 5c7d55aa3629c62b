"""One connection: requests from the wire to the router, its answers back."""

from __future__ import annotations

import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol, cast
from urllib.parse import parse_qs, unquote

from etl_telemetry.guard import absorb
from etl_telemetry.viewer.body import Body
from etl_telemetry.viewer.refusal import HttpError
from etl_telemetry.viewer.routing import Answer, Request, Router, failure

_LINGER = 2.0
"""Seconds for a client to read the refusal of a body that it is still sending."""
_LINGER_BYTES = 64 * 2**20


class Host(Protocol):
    """What a connection asks of its server."""

    router: Router
    """Who answers."""
    patience: float
    """Seconds that a client may be silent."""

    def answered(self, request: socket.socket, /) -> None:
        """Note that a connection got an answer."""


class Handler(BaseHTTPRequestHandler):
    """Serve one connection until it ends."""

    protocol_version = "HTTP/1.1"
    server_version = "etl-telemetry"
    sys_version = ""
    wbufsize = -1  # One write per answer: no wait for the peer's delayed acknowledgement.

    @property
    def host(self) -> Host:
        """The server."""
        return cast("Host", self.server)

    def setup(self) -> None:
        """Prepare the streams; the server ends what is slow in spite of this."""
        super().setup()
        self.connection.settimeout(self.host.patience)

    def __getattr__(self, name: str) -> Any:
        """Take every method, so that the router can answer 405 where the base would say 501."""
        if name.startswith("do_"):
            return self._dispatch
        raise AttributeError(name)

    def _dispatch(self) -> None:
        path, _, query = self.path.partition("?")
        request = Request(
            method=self.command,
            path=unquote(path),
            query=parse_qs(query, keep_blank_values=True),
            headers=self.headers,
            body=Body(self.headers, self.rfile),
        )
        answer = failure(HttpError(500, "the viewer failed; its log says how"), "")
        with absorb("viewer"):
            answer = self._answer(request)
        self.close_connection = self.close_connection or not request.body.whole
        self._send(answer)
        self.host.answered(self.connection)
        if not request.body.whole:
            self._linger()

    def _answer(self, request: Request) -> Answer:
        try:
            return self.host.router.answer(request)
        except HttpError as error:
            return failure(error, request.content_type)
        except TimeoutError:
            return failure(HttpError(408, "the body did not arrive in time"), request.content_type)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _linger(self) -> None:
        """Take what the client still sends: closing at once would reset it before it reads."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_LINGER)
        end = time.monotonic() + _LINGER
        left = _LINGER_BYTES
        while left > 0 and time.monotonic() < end:
            data = self.rfile.read1(2**16)
            if not data:
                return
            left -= len(data)

    def handle_expect_100(self) -> bool:
        """Let the client send its body; without the flush it would wait for our line."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request line or header as OTLP does, not with a page of HTML."""
        self.close_connection = True
        self.request_version = self.protocol_version  # The base has none yet: no status line.
        self._send(failure(HttpError(code, message or explain or "malformed request"), ""))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
        """Say nothing: a line per request would drown what the developer looks for."""
