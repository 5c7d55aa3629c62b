"""JSON over HTTP to our own engines; a proxy of the developer is not for them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

TIMEOUT = 30.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Refused(RuntimeError):  # noqa: N818 -- what happened
    """An engine answered with an error: `status`, and its text as the message."""

    def __init__(self, url: str, status: int, text: str) -> None:
        super().__init__(f"{url} answered {status}: {text[:2000]}")
        self.status = status


def text(url: str, *, timeout: float = TIMEOUT, **parameters: Any) -> str:
    """GET a text."""
    return _send("GET", url + ("?" + urlencode(parameters) if parameters else ""), None, timeout)


def get(url: str, *, timeout: float = TIMEOUT, **parameters: Any) -> Any:
    """GET a JSON document."""
    return json.loads(text(url, timeout=timeout, **parameters))


def send(method: str, url: str, body: Any = None, *, timeout: float = TIMEOUT) -> Any:
    """Send a JSON document and return the one that comes back."""
    data = None if body is None else json.dumps(body).encode()
    return json.loads(_send(method, url, data, timeout) or "null")


def send_lines(method: str, url: str, lines: Sequence[str], *, timeout: float = TIMEOUT) -> Any:
    """Send a bulk request, one JSON document a line, and return the document that comes back."""
    data = "".join(f"{line}\n" for line in lines).encode()
    return json.loads(_send(method, url, data, timeout))


def answers(url: str) -> bool:
    """Say whether a GET succeeds now."""
    try:
        text(url, timeout=5)
    except (OSError, Refused):
        return False
    return True


def _send(method: str, url: str, data: bytes | None, timeout: float) -> str:
    headers = {"Content-Type": "application/json"} if data is not None else {}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 -- our engine
    try:
        with _direct.open(request, timeout=timeout) as response:
            return str(response.read().decode())
    except HTTPError as error:
        with error:
            raise Refused(url, error.code, error.read().decode(errors="replace")) from None
