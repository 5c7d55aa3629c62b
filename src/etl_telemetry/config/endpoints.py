"""Where telemetry goes: URLs, and what gRPC takes besides."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from etl_telemetry import redaction
from etl_telemetry.config.kinds import Kind, WrongValue, text

# https://github.com/grpc/grpc/blob/master/doc/naming.md
_GRPC_TARGET = re.compile(
    r"(?:dns|unix|unix-abstract|ipv4|ipv6|passthrough):\S+|[\w.-]+:\d{1,5}|\[[\da-f:]+\]:\d{1,5}",
    re.ASCII | re.IGNORECASE,
)


def is_url(endpoint: str) -> bool:
    """Tell whether an endpoint is a URL, which every protocol takes.

    >>> is_url("https://collector.example:4318/otlp"), is_url("collector:4317")
    (True, False)
    """
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    web = parts.scheme.lower() in {"http", "https"}
    return web and bool(parts.hostname) and port != 0 and not re.search(r"\s", endpoint)


def _endpoint(value: object) -> str:
    found = text(value)
    if is_url(found) or _GRPC_TARGET.fullmatch(found):
        return found
    raise WrongValue(got=shown(found))


def shown(endpoint: str) -> str:
    """Return an endpoint for people: without user, password and query values.

    >>> shown("http://ann:pw@collector:4318")
    "'http://REDACTED:REDACTED@collector:4318'"
    """
    return repr(redaction.url(endpoint[:200]))


def _url(value: object) -> str:
    found = text(value)
    if is_url(found):
        return found
    raise WrongValue(got=shown(found))


URL = Kind("a URL such as http://localhost:15672", _url)
ENDPOINT = Kind("a URL such as http://localhost:4318, or host:port for gRPC", _endpoint)
