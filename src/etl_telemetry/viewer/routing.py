"""What the HTTP rooms share: a request, an answer, a table of routes. No sockets here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message as Headers
from typing import TypeAlias

from etl_telemetry.viewer.body import Body
from etl_telemetry.viewer.refusal import HttpError
from etl_telemetry.viewer.wire import JSON, PROTOBUF, encode, status

_RPC_CODES = {400: 3, 403: 7, 404: 5, 413: 8, 500: 13, 503: 14}
_RPC_UNKNOWN = 2


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
    body: Body
    """The body, to be read once."""

    @property
    def content_type(self) -> str:
        """Media type of the body, lower case, without parameters; "" when absent."""
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


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


def failure(error: HttpError, content_type: str) -> Answer:
    """Return the error answer that OTLP demands: a google.rpc.Status as the client encodes."""
    kind = PROTOBUF if content_type == PROTOBUF else JSON
    body = encode(status(_RPC_CODES.get(error.code, _RPC_UNKNOWN), str(error)), kind)
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

    def __init__(self, *routes: Route, local: bool) -> None:
        """Compile the routes.

        Args:
            routes: First match wins.
            local: Whether only this machine can reach us; then a browser is answered only under
                an address or "localhost", so that no foreign site can read through a name that
                it points at this machine (DNS rebinding).
        """
        self._routes = [(re.compile(route.pattern), route) for route in routes]
        self._local = local

    def answer(self, request: Request) -> Answer:
        """Answer a request.

        Raises:
            HttpError: 403, 404 or 405 from here, others from the handler.
        """
        method = "GET" if request.method == "HEAD" else request.method
        if method == "GET" and self._local:
            _check_host(str(request.headers.get("Host", "localhost")))
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


def _check_host(host: str) -> None:
    name = re.sub(r":\d*$", "", host).strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return
    try:
        ipaddress.ip_address(name)
    except ValueError as error:
        raise HttpError(
            403, f"ask for this viewer by address or as localhost, got Host {host[:80]!r}"
        ) from error
