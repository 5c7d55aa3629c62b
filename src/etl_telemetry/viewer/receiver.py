"""`Receiver`: what the outside starts and stops.

>>> from etl_telemetry.viewer.store import Store
>>> with Store() as store, Receiver(store) as receiver:
...     receiver.address.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

import ipaddress
import threading
from types import TracebackType
from typing import Self

from etl_telemetry.errors import TelemetryError
from etl_telemetry.viewer import api, ingest
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.routing import Router
from etl_telemetry.viewer.server import Server
from etl_telemetry.viewer.store import Store

MAX_BODY = 16 * 2**20
"""Default bound of a request's body in bytes."""
TIMEOUT = 75.0
"""Default seconds for a silent client; more than the 60 s between two exports of metrics."""

_POLL = 0.05
"""Seconds between two looks for overdue connections and for the end."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 -- only named


class ReceiverError(TelemetryError):
    """The receiver cannot start; the text says why and what to do."""


class Receiver:
    """Receive OTLP/HTTP into a store and answer questions about it.

    One instance is started once. What was answered with 200 is in the store.
    """

    def __init__(
        self,
        store: Store,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        max_body: int = MAX_BODY,
        timeout: float = TIMEOUT,
    ) -> None:
        """Prepare; nothing is opened before `start`.

        Args:
            store: Where telemetry goes. Its owner closes it, after `stop`.
            host: Address to listen on. There is no authentication: keep it local.
            port: Port; 0 for any free one.
            max_body: Bound of a request's body in bytes, before and after decompression.
            timeout: Seconds that a client may be silent; from one answer to the next it may
                take twice as long. Then its connection is closed.
        """
        self._host, self._port, self._timeout = host, port, timeout
        self._router = Router(
            *ingest.routes(store, max_body=max_body),
            *api.routes(Query(store.path)),
            local=is_local(host),
        )
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, and serve from threads of its own.

        Raises:
            ReceiverError: The address is in use or not ours.
            RuntimeError: It was started before.
        """
        if self._server is not None:
            raise RuntimeError("this receiver was started before; make a new one")
        try:
            self._server = Server(
                host=self._host, port=self._port, router=self._router, patience=self._timeout
            )
        except (OSError, OverflowError) as error:
            raise ReceiverError(
                f"cannot listen on {self._host} port {self._port}: {error}; "
                "stop what uses the port, or choose another one with --port (0: any free one)"
            ) from error
        serve = self._server.serve_forever
        self._thread = threading.Thread(
            target=serve, args=(_POLL,), name="etl-telemetry-viewer", daemon=True
        )
        self._thread.start()
        return self

    def stop(self, *, deadline: float = 5.0) -> None:
        """Stop listening, end all connections, wait at most `deadline` seconds for threads.

        In a forked child only its copy of the listening socket is closed: the threads are not
        there, and the connections are the parent's.
        """
        if self._server is None or self._thread is None:
            return
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(deadline)
            self._server.disconnect_all(deadline)
        self._server.server_close()
        self._thread = None

    @property
    def address(self) -> str:
        """The URL for OTEL_EXPORTER_OTLP_ENDPOINT, for instance `http://127.0.0.1:4318`."""
        host = _EVERYWHERE.get(self._host, self._host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def port(self) -> int:
        """The port that it listens on.

        Raises:
            RuntimeError: It was not started.
        """
        if self._server is None:
            raise RuntimeError("a receiver has no port before start()")
        port: int = self._server.socket.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """TCP connections accepted since the start."""
        return self._server.accepted if self._server else 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def is_local(host: str) -> bool:
    """Tell whether only this machine can reach an address.

    >>> is_local("localhost"), is_local("::1"), is_local("0.0.0.0"), is_local("example.org")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
