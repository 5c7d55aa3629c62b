"""`Receiver`: what the outside starts and stops.

>>> from etl_telemetry.viewer.store import Store
>>> with Store() as store, Receiver(store) as receiver:
...     receiver.address.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from etl_telemetry.viewer import api, ingest
from etl_telemetry.viewer.http import Router
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.server import Server
from etl_telemetry.viewer.store import Store

MAX_BODY = 16 * 2**20
TIMEOUT = 75.0


class ReceiverError(Exception):
    """The receiver cannot start; the text says why and what to do."""


class Receiver:
    """Receive OTLP/HTTP into a store and answer questions about it.

    One instance is started once. Everything that was answered with 200 is in the store.
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
            timeout: Seconds from one answer to the next after which a connection is closed.
        """
        self._host, self._port, self._timeout = host, port, timeout
        self._router = Router(
            *ingest.routes(store, max_body=max_body), *api.routes(Query(store.path))
        )
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, and serve from a thread of its own.

        Raises:
            ReceiverError: The address is in use or not ours.
            RuntimeError: It was started before.
        """
        if self._server is not None:
            raise RuntimeError("this receiver was started before; make a new one")
        try:
            self._server = Server(self._host, self._port, self._router, timeout=self._timeout)
        except (OSError, OverflowError) as error:
            raise ReceiverError(
                f"cannot listen on {self._host} port {self._port}: {error}; "
                "stop what uses the port, or choose another one with --port (0: any free one)"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="etl-telemetry-viewer", daemon=True
        )
        self._thread.start()
        return self

    def stop(self, *, deadline: float = 5.0) -> None:
        """Stop listening, end all connections, wait at most `deadline` seconds for threads."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(deadline)
        self._server.disconnect_all(deadline)
        self._thread = None

    @property
    def address(self) -> str:
        """The URL for OTEL_EXPORTER_OTLP_ENDPOINT, for instance `http://127.0.0.1:4318`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def port(self) -> int:
        """The port that it listens on.

        Raises:
            RuntimeError: It was not started.
        """
        if self._server is None:
            raise RuntimeError("this receiver has no port before start()")
        port: int = self._server.server_address[1]
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
