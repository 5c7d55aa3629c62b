"""What is told of a request, read without asking the database and without raising."""

from __future__ import annotations

from typing import Any

from django.http.request import split_domain_port
from django.utils.functional import LazyObject

from etl_telemetry import guard
from etl_telemetry.catalogue import (
    HTTP_REQUEST_METHOD,
    HTTP_REQUEST_METHOD_ORIGINAL,
    NETWORK_PROTOCOL_VERSION,
    SERVER_ADDRESS,
    URL_PATH,
    URL_QUERY,
    URL_SCHEME,
    USER_AGENT_ORIGINAL,
)
from etl_telemetry.values import text

_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_OTHER_METHOD = "_OTHER"
_ROOT = "/"
_LOADED_USER = ("user", "_cached_user", "_acached_user")


def method(request: Any) -> str:
    """Return a known method, or ``_OTHER``: clients send anything."""
    return request.method if request.method in _METHODS else _OTHER_METHOD


def span_name(method: str, route: str | None) -> str:
    """Return the name of a request's span: never its path.

    >>> span_name("GET", "flights/<str:carrier>/"), span_name("GET", None), span_name("_OTHER", "")
    ('GET flights/<str:carrier>/', 'GET', 'HTTP ')
    """
    word = "HTTP" if method == _OTHER_METHOD else method
    return word if route is None else f"{word} {route}"


def route(request: Any) -> str | None:
    """Return the template of the path as Django writes it, ``/`` for the root; None: no match."""
    match = request.resolver_match
    return None if match is None else (match.route or _ROOT)


def scheme(request: Any) -> str:
    """Return ``http`` or ``https``, as a named proxy or the server says."""
    return "https" if request.scheme == "https" else "http"


def attributes(request: Any) -> dict[str, str]:
    """Return what a span says of a request at its begin."""
    meta = request.META
    # Not `get_host()`, which raises where the host is not allowed.
    server, _ = split_domain_port(meta.get("HTTP_HOST") or meta.get("SERVER_NAME") or "")
    name = method(request)
    given = {
        HTTP_REQUEST_METHOD: name,
        HTTP_REQUEST_METHOD_ORIGINAL: request.method if name == _OTHER_METHOD else None,
        URL_SCHEME: scheme(request),
        URL_PATH: request.path,
        URL_QUERY: meta.get("QUERY_STRING"),
        SERVER_ADDRESS: server,
        NETWORK_PROTOCOL_VERSION: _protocol(request),
        USER_AGENT_ORIGINAL: meta.get("HTTP_USER_AGENT"),
    }
    return {key: text(value) for key, value in given.items() if value}


def user_id(request: Any) -> str | None:
    """Return the id of the user, where it is known already; it is not worth a query."""
    with guard.absorb("reading the user of a request"):
        there = vars(request)
        for name in _LOADED_USER:
            user = there.get(name)
            if user is not None and not isinstance(user, LazyObject):
                return _text(getattr(user, "pk", None))
        # In Django's session, if somebody has loaded it.
        loaded = getattr(there.get("session"), "__dict__", {}).get("_session_cache") or {}
        return _text(loaded.get("_auth_user_id"))
    return None


def _text(key: object) -> str | None:
    return None if key is None else text(key)


def _protocol(request: Any) -> str | None:
    scope = getattr(request, "scope", None)
    if scope is not None:
        return str(scope.get("http_version") or "") or None
    return str(request.META.get("SERVER_PROTOCOL") or "").partition("/")[2] or None
