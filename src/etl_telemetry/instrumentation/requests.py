"""requests: baggage to named hosts only, and no hook that can break the call.

The instrumentor calls its hooks unguarded (trap 7) and injects headers without
knowing the host. So trace context goes out by the global propagator, which holds
the baggage back, and the hook here adds the baggage where the host is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import propagate
from opentelemetry.trace import Span

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo, undo_of
from etl_telemetry.runtime import propagation

Hook = Callable[[Span, Any], None]


def instrument(instrumentor: Instrumentor | None, config: Config) -> Undo | None:
    """Instrument requests (`table.Adapter`)."""
    if instrumentor is None:
        return None
    hook = guarded(baggage_hook(config.baggage_hosts)) if config.baggage_hosts else None
    instrumentor.instrument(request_hook=hook)
    return undo_of(instrumentor)


def guarded(hook: Hook) -> Hook:
    """Return ``hook`` such that its errors never reach the caller of requests.

    >>> guarded(lambda span, request: 1 / 0)(None, None)
    """

    def call(span: Span, request: Any) -> None:
        with guard.absorb("requests hook"):
            hook(span, request)

    return call


def baggage_hook(hosts: tuple[str, ...]) -> Hook:
    """Return a hook that adds the baggage to requests to ``hosts``.

    A host is a name (``api.example.com``) or, with a leading dot, a domain with
    all its subdomains (``.example.com``).
    """
    exact = frozenset(host.lower() for host in hosts if not host.startswith("."))
    domains = tuple(host.lower() for host in hosts if host.startswith("."))

    def add(_: Span, request: Any) -> None:
        host = (urlsplit(request.url).hostname or "").lower()
        if host in exact or f".{host}".endswith(domains or ("\0",)):
            propagate.inject(request.headers, context=propagation.to_named_place())
            request.register_hook("response", _forget_baggage)

    return add


def _forget_baggage(response: Any, *_: object, **__: object) -> None:
    """Take the baggage off a request that was sent: requests copies its headers to redirects."""
    with guard.absorb("requests hook"):
        response.request.headers.pop("baggage", None)
