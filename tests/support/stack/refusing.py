"""A server in front of another one, which refuses for as long as it is told to."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Refusing:
    """Answer `status` to every POST while there is one; pass on everything else."""

    def __init__(self, target: str, *, status: int) -> None:
        self.target = target
        self.status: int | None = status
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._pass_on(None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status is None:
                    self._pass_on(body)
                else:
                    outer.refused += 1
                    self._answer(outer.status, "application/json", b"{}")

            def log_message(self, *_: object) -> None:
                pass

            def _pass_on(self, body: bytes | None) -> None:
                wanted = ("content-type", "content-encoding")
                headers = {k: v for k, v in self.headers.items() if k.lower() in wanted}
                request = urllib.request.Request(  # noqa: S310 -- our engine
                    outer.target + self.path, body, headers, method=self.command
                )
                try:
                    with urllib.request.urlopen(request, timeout=60) as got:  # noqa: S310
                        self._answer(got.status, got.headers["Content-Type"], got.read())
                except urllib.error.HTTPError as error:
                    self._answer(error.code, error.headers["Content-Type"], error.read())

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
