"""Who calls: what a request takes over of its caller's trace, and which requests nobody wants."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from fnmatch import translate
from ipaddress import ip_address, ip_network
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext

_MAX_ADDRESSES = 1_000


class Headers(Getter[dict[str, Any]]):
    """Read the headers of a request in `META`, where WSGI and ASGI requests have them alike."""

    def get(self, carrier: dict[str, Any], key: str) -> list[str] | None:
        """Return the values of a header, or None."""
        value = carrier.get(f"HTTP_{key.upper().replace('-', '_')}")
        return [value] if isinstance(value, str) else None

    def keys(self, carrier: dict[str, Any]) -> list[str]:
        """Return the names of all headers."""
        return [
            name.removeprefix("HTTP_").replace("_", "-").lower()
            for name in carrier
            if name.startswith("HTTP_")
        ]


_HEADERS = Headers()


class Ingress:
    """What set-up decided about callers and paths.

    Any client can send a `traceparent`. Continuing it would let strangers write into the
    traces of others, so it becomes a link, except from networks that were named.
    """

    def __init__(self, *, trusted: Sequence[str], excluded: Sequence[str]) -> None:
        self._trusted = tuple(ip_network(network, strict=False) for network in trusted)
        self._known: dict[str, bool] = {}
        patterns = "|".join(map(translate, excluded))
        self._excluded = re.compile(patterns).match if excluded else _no_match

    def excludes(self, request: Any) -> bool:
        """Tell whether a request is neither traced nor measured."""
        return self._excluded(request.path) is not None

    def context(self, request: Any) -> tuple[Context, tuple[Link, ...]]:
        """Return the context that a request begins with, and what its span links to.

        What was left current on this thread is none of its business (trap 3).
        """
        sent = propagate.extract(request.META, Context(), _HEADERS)
        caller = trace.get_current_span(sent).get_span_context()
        if self._trusts(request.META.get("REMOTE_ADDR") or ""):
            return sent, ()
        return Context(), (Link(caller),) if caller.is_valid else ()

    def _trusts(self, address: str) -> bool:
        if not self._trusted:
            return False
        found = self._known.get(address)
        if found is None:
            found = self._is_trusted(address)
            if len(self._known) < _MAX_ADDRESSES:
                self._known[address] = found
        return found

    def _is_trusted(self, address: str) -> bool:
        try:
            given = ip_address(address)
        except ValueError:
            return False  # A Unix socket has none.
        mapped = getattr(given, "ipv4_mapped", None)
        return any((mapped or given) in network for network in self._trusted)


def unseen() -> Context:
    """Return a context in which no span is recorded: the parent of all was not sampled."""
    ids = SpanContext(secrets.randbits(127) + 1, secrets.randbits(63) + 1, is_remote=False)
    return trace.set_span_in_context(NonRecordingSpan(ids), Context())


def _no_match(_: str) -> None:
    return None
