"""The HTTP engine: one thread per connection, HTTP/1.1 with keep-alive, nobody can hang it."""

from __future__ import annotations

import logging
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from etl_telemetry.viewer.http import Answer, HttpError, Request, Router, failure

logger = logging.getLogger("etl_telemetry.viewer")

MAX_CONNECTIONS = 256
_LINGER = 2.0
_LINGER_BYTES = 64 * 2**20


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serve a router on one address."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, router: Router, *, timeout: float) -> None:
        """Bind and listen.

        Args:
            host: Address or name to bind.
            port: Port; 0 for any free one.
            router: Who answers.
            timeout: Seconds from one answer to the next after which a connection is closed.

        Raises:
            OSError: The address cannot be bound.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.router = router
        self.patience = timeout
        self.accepted = 0
        self._open: dict[socket.socket, float] = {}
        self._changed = threading.Condition()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the connection and give it a thread."""
        with self._changed:
            self.accepted += 1
            self._open[request] = time.monotonic()
            full = len(self._open) > MAX_CONNECTIONS
        if full:
            self._refuse(request)
        else:
            super().process_request(request, client_address)

    def _refuse(self, request: socket.socket) -> None:
        request.settimeout(0)
        try:
            request.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            logger.debug("viewer_refusal_not_sent")
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._open.pop(request, None)
            self._changed.notify_all()

    def answered(self, request: socket.socket) -> None:
        """Start the clock of a connection anew."""
        with self._changed:
            self._open[request] = time.monotonic()

    def service_actions(self) -> None:
        """Close connections that are overdue: idle, stuck, or sending a byte now and then."""
        overdue = time.monotonic() - self.patience
        with self._changed:
            for request, since in self._open.items():
                if since < overdue:
                    _hang_up(request)

    def disconnect_all(self, deadline: float) -> None:
        """End all connections and wait for their threads, at most `deadline` seconds."""
        with self._changed:
            for request in self._open:
                _hang_up(request)
            self._changed.wait_for(lambda: not self._open, deadline)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a handler raised; a client that went away is not an error."""
        if not isinstance(sys.exception(), OSError):
            logger.error("viewer_request_failed", exc_info=True)


def _hang_up(request: socket.socket) -> None:
    """Wake up the thread that reads from this connection; it closes the socket itself."""
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("viewer_connection_already_closed")


class _Handler(BaseHTTPRequestHandler):
    """Turn requests on one connection into calls of the router."""

    protocol_version = "HTTP/1.1"
    server_version = "etl-telemetry"
    sys_version = ""
    wbufsize = -1  # One write per answer: no wait for the peer's delayed acknowledgement.
    server: Server

    def setup(self) -> None:
        """Set the time limit of each single read."""
        self.timeout = self.server.patience
        super().setup()

    def __getattr__(self, name: str) -> Any:
        """Take every method, so that the router can answer 405 where the base would say 501."""
        if name.startswith("do_"):
            return self._dispatch
        raise AttributeError(name)

    def _dispatch(self) -> None:
        url = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(url.path),
            query=parse_qs(url.query, keep_blank_values=True),
            headers=self.headers,
            stream=self.rfile,
        )
        whole = False
        try:
            answer = self.server.router.answer(request)
            whole = self.command == "POST" or not self._has_body()
        except HttpError as error:
            answer = failure(error, request.content_type)
            whole = not self._has_body()
        except TimeoutError:
            answer = failure(HttpError(408, "the body did not arrive in time"), "")
        self.close_connection = self.close_connection or not whole
        self._send(answer)
        self.server.answered(self.connection)
        if not whole:
            self._linger()

    def _has_body(self) -> bool:
        return "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0"

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
            data = self.rfile.read1(65536)
            if not data:
                return
            left -= len(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request line or header as OTLP does, not with a page of HTML."""
        self.close_connection = True
        self._send(failure(HttpError(code, message or explain or "malformed request"), ""))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line per request would drown what the developer looks for."""
