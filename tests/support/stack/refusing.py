"""A server in front of Elasticsearch, which answers wrongly for as long as it is told to."""

from __future__ import annotations

import gzip
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    """The status."""
    body: bytes = b"{}"
    """The body, JSON."""


Send = Callable[[bytes], Reply]
"""Hands a body of a request on to the server behind, and returns what that answers."""
Answer = Callable[[bytes, Send], Reply]
"""What is answered to a POST with this body."""


def refuse(status: int) -> Answer:
    """Refuse whole requests."""
    return lambda body, send: Reply(status)


def lose_answer(body: bytes, send: Send) -> Reply:
    """Hand the request on, but tell the client to come back: the answer got lost on its way."""
    send(body)
    return Reply(503)


def refuse_documents(body: bytes, send: Send) -> Reply:
    """Answer 200, and in it 429 to every second document: a node with a full write queue."""
    lines = body.splitlines(keepends=True)
    documents = [b"".join(pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
    taken = json.loads(send(b"".join(documents[1::2])).body)["items"] if documents[1:] else []
    refused = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
    items: list[Any] = []
    for number in range(len(documents)):
        if number % 2:
            items.append(taken[number // 2])
        else:
            items.append({"create": {"status": 429, "error": refused}})
    return Reply(200, json.dumps({"took": 1, "errors": True, "items": items}).encode())


def refuse_for(stream: str) -> Answer:
    """Refuse what is for one data stream, and take all else."""
    name = f'"{stream}'.encode()
    return lambda body, send: Reply(429) if name in body else send(body)


class Refusing:
    """Give `answer` to every POST while there is one; pass on everything else."""

    def __init__(self, target: str, answer: Answer | None = None) -> None:
        self.target = target
        self.answer = answer
        self.disturbed = 0
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

    def _send(self, method: str, path: str, body: bytes | None, kind: str) -> Reply:
        headers = {"Content-Type": kind}
        request = urllib.request.Request(  # noqa: S310 -- our engine
            self.target + path, body, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as got:  # noqa: S310
                return Reply(got.status, got.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply(outer._send("GET", self.path, None, JSON))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                kind = self.headers.get("Content-Type", JSON)

                def send(content: bytes) -> Reply:
                    return outer._send("POST", self.path, content, kind)

                if (answer := outer.answer) is None:
                    self._reply(send(body))
                else:
                    self._reply(answer(body, send))
                    outer.disturbed += 1

            def log_message(self, *_: object) -> None:
                pass

            def _reply(self, reply: Reply) -> None:
                self.send_response(reply.status)
                self.send_header("Content-Type", JSON)
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

        return Handler
