"""The HTTP engine: one thread per connection, HTTP/1.1 with keep-alive, nobody can hang it."""

from __future__ import annotations

import logging
import socket
import socketserver
import sys
import threading
import time
from typing import Any, TypeAlias

from etl_telemetry.viewer.handler import Handler
from etl_telemetry.viewer.routing import Router

logger = logging.getLogger("etl_telemetry.viewer")

MAX_CONNECTIONS = 256
"""At once; each one has a thread. The next one is answered 503."""

_REFUSAL = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

Connection: TypeAlias = Any
"""A client's socket; the base class types it as a union with datagrams."""
Peer: TypeAlias = Any
"""Address of a client; its shape depends on the address family."""


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serve a router on one address."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *, host: str, port: int, router: Router, patience: float) -> None:
        """Bind and listen.

        Args:
            host: Address or name to bind.
            port: Port; 0 for any free one.
            router: Who answers.
            patience: Seconds that a client may be silent; from one answer to the next it may
                take twice as long.

        Raises:
            OSError: The address cannot be bound.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.router = router
        self.patience = patience
        self.accepted = 0
        """Connections since the start."""
        self._open: dict[socket.socket, float] = {}
        self._changed = threading.Condition()
        super().__init__((host, port), Handler)

    def process_request(self, request: Connection, client_address: Peer) -> None:
        """Count the connection and give it a thread."""
        with self._changed:
            self.accepted += 1
            self._open[request] = time.monotonic()
            full = len(self._open) > MAX_CONNECTIONS
        if full:
            request.settimeout(0)  # A fresh connection's buffer takes one line at once.
            request.send(_REFUSAL)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Connection) -> None:
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
        overdue = time.monotonic() - 2 * self.patience
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

    def handle_error(self, request: Connection, client_address: Peer) -> None:
        """Log what ended a connection; it is the business of no other one."""
        logger.debug(
            "viewer_connection_failed",
            extra={
                "client": str(client_address),
                "descriptor": request.fileno(),
                "error_type": type(sys.exception()).__name__,
            },
        )


def _hang_up(request: socket.socket) -> None:
    """Wake up the thread that reads from this connection; it closes the socket itself."""
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("viewer_connection_was_closed")
