"""What HTTP rooms share: a request, an answer, a table of routes. No sockets here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message as Headers
from typing import BinaryIO, TypeAlias

from etl_telemetry.viewer.wire import JSON, PROTOBUF, encode, status

RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 413: 8, 500: 13, 503: 14}
"""HTTP status -> google.rpc.Code; 2 (unknown) for the rest."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; the body is still on the wire."""

    method: str
    """Upper-case method."""
    path: str
    """Decoded path, without the query."""
    query: Mapping[str, list[str]]
    """Decoded query parameters."""
    headers: Headers
    """Headers, without regard to case."""
    stream: BinaryIO
    """Where the body can be read, once."""

    @property
    def content_type(self) -> str:
        """Media type of the body, lower case, without parameters; "" when absent."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    """HTTP status code."""
    body: bytes
    """Body, complete."""
    content_type: str = JSON
    """Media type of the body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers."""


class HttpError(Exception):
    """Ends a request with an error answer."""

    def __init__(self, code: int, message: str, **headers: str) -> None:
        """Remember the answer; `Retry_After="1"` becomes the header `Retry-After: 1`."""
        super().__init__(message)
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def failure(error: HttpError, content_type: str) -> Answer:
    """Return the error answer that OTLP demands: a google.rpc.Status as the client encodes."""
    kind = PROTOBUF if content_type == PROTOBUF else JSON
    body = encode(status(RPC_CODES.get(error.code, 2), str(error)), kind)
    return Answer(error.code, body, kind, error.headers)


Handler: TypeAlias = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path."""

    method: str
    """"GET" (which answers HEAD as well) or "POST"."""
    pattern: str
    """Regular expression of the whole path; named groups become keyword arguments."""
    handler: Handler
    """Called with the request and the groups of the pattern."""


class Router:
    """Find the handler of a request."""

    def __init__(self, *routes: Route) -> None:
        """Compile the routes."""
        self._routes = [(re.compile(route.pattern), route) for route in routes]

    def answer(self, request: Request) -> Answer:
        """Answer a request.

        Raises:
            HttpError: 404 or 405 from here, others from the handler.
        """
        method = "GET" if request.method == "HEAD" else request.method
        allowed: set[str] = set()
        for pattern, route in self._routes:
            found = pattern.fullmatch(request.path)
            if found and route.method == method:
                return route.handler(request, **found.groupdict())
            if found:
                allowed |= {"GET", "HEAD"} if route.method == "GET" else {route.method}
        if allowed:
            allow = ", ".join(sorted(allowed))
            message = f"{request.path} takes {allow}, got {request.method[:20]}"
            raise HttpError(405, message, Allow=allow)
        raise HttpError(
            404,
            f"there is nothing at {request.path[:200]}; telemetry goes to "
            "/v1/traces, /v1/metrics and /v1/logs, questions to /api/v1",
        )
