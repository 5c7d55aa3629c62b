"""Where requests are seen: at Django's handlers, around all of its middleware.

A middleware misses what happens outside of it: a bad Host header, another middleware
that answers first, a client that goes away, the last byte. And one that is not written
for both worlds makes Django change threads under ASGI. So these are wrapped:

| method                                  | what it sees                                     |
| --------------------------------------- | ------------------------------------------------ |
| `BaseHandler.get_response`              | every request of WSGI and of Django's test client |
| `BaseHandler.get_response_async`        | the same of ASGI                                 |
| `ASGIHandler.create_request`            | what Django refuses before it is a request       |
| `ASGIHandler.send_response`             | the last byte, and what went wrong on the way    |

They are looked up at each call, so handlers that exist already are seen too.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.signals import got_request_exception

from etl_telemetry import guard
from etl_telemetry.django.requests.exchange import Exchange, Rules
from etl_telemetry.django.wrapping import Wrapped

_EXCHANGE = "_etl_telemetry_exchange"
_UID = "etl_telemetry"


def connect(rules: Rules) -> Callable[[], None]:
    """See every request from now on; return how to undo that."""
    wrapped = (
        Wrapped(BaseHandler, "get_response", lambda before: _sync(before, rules)),
        Wrapped(BaseHandler, "get_response_async", lambda before: _async(before, rules)),
        Wrapped(ASGIHandler, "create_request", lambda before: _refusing(before, rules)),
        Wrapped(ASGIHandler, "send_response", _sending),
    )
    got_request_exception.connect(_raised, weak=False, dispatch_uid=_UID)

    def undo() -> None:
        rules.active = False
        got_request_exception.disconnect(dispatch_uid=_UID)
        for one in wrapped:
            one.undo()

    return undo


def _begin(request: Any, rules: Rules) -> Exchange | None:
    if not rules.active:
        return None
    with guard.absorb("beginning a request"):
        exchange = Exchange(request, rules)
        setattr(request, _EXCHANGE, exchange)
        return exchange
    return None


def _sync(before: Callable[..., Any], rules: Rules) -> Callable[..., Any]:
    @wraps(before)
    def get_response(self: BaseHandler, request: Any) -> Any:
        exchange = _begin(request, rules)
        if exchange is None:
            return before(self, request)
        with exchange:
            response = before(self, request)
        exchange.answered(response)
        return response

    return get_response


def _async(before: Callable[..., Awaitable[Any]], rules: Rules) -> Callable[..., Awaitable[Any]]:
    @wraps(before)
    async def get_response_async(self: BaseHandler, request: Any) -> Any:
        exchange = _begin(request, rules)
        if exchange is None:
            return await before(self, request)
        with exchange:
            response = await before(self, request)
        exchange.answered(response)
        setattr(response, _EXCHANGE, exchange)
        return response

    return get_response_async


def _refusing(before: Callable[..., Any], rules: Rules) -> Callable[..., Any]:
    @wraps(before)
    def create_request(self: ASGIHandler, scope: Any, body_file: Any) -> Any:
        request, response = before(self, scope, body_file)
        if request is None:
            exchange = _begin(_Refused(scope), rules)
            if exchange is not None:
                exchange.answered(response)
                setattr(response, _EXCHANGE, exchange)
        return request, response

    return create_request


def _sending(before: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(before)
    async def send_response(self: ASGIHandler, response: Any, send: Any) -> None:
        try:
            await before(self, response, send)
        finally:
            exchange = getattr(response, _EXCHANGE, None)
            if isinstance(exchange, Exchange):
                exchange.sent(sys.exception())

    return send_response


def _raised(*, request: Any = None, **_: object) -> None:
    """Remember the exception that becomes Django's answer 500."""
    error = sys.exception()
    exchange = getattr(request, _EXCHANGE, None)
    if error is not None and isinstance(exchange, Exchange):
        exchange.failed(error)


class _Refused:
    """What can be said of a request that Django could not read."""

    resolver_match = None

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.method = str(scope["method"]).upper()
        self.path = scope["path"]
        self.scheme = scope.get("scheme")
        headers = (
            (name.decode("latin1"), value.decode("latin1")) for name, value in scope["headers"]
        )
        self.META = {f"HTTP_{n.upper().replace('-', '_')}": value for n, value in headers}
        self.META["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]
