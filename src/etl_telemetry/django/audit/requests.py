"""The request that is being answered: its user, address and browser, and what must outlive it.

Wrapped around `BaseHandler.get_response`, below which everything runs: all middleware,
under WSGI, ASGI and the test client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from etl_telemetry import guard


@dataclass(slots=True)
class Current:
    """The request of this context."""

    request: HttpRequest
    """What Django made of it."""
    unsettled: list[Callable[[], None]] = field(default_factory=list)
    """Events that are no change, written in a transaction that may roll back: how to write
    each of them again where it did."""


_current: ContextVar[Current | None] = ContextVar("etl_telemetry_request", default=None)


def current() -> Current | None:
    """Return the request that is being answered, or None."""
    return _current.get()


def follow() -> Callable[[], None]:
    """Know the current request from now on; return how to undo it."""
    handler: Any = BaseHandler
    sync, async_ = handler.get_response, handler.get_response_async

    @wraps(sync)
    def get_response(self: Any, request: HttpRequest) -> Any:
        here = Current(request)
        before = _current.get()
        _current.set(here)
        try:
            return sync(self, request)
        finally:
            _current.set(before)
            _settle(here)

    @wraps(async_)
    async def get_response_async(self: Any, request: HttpRequest) -> Any:
        here = Current(request)
        before = _current.get()
        _current.set(here)
        try:
            return await async_(self, request)
        finally:
            _current.set(before)
            if here.unsettled:
                await sync_to_async(_settle)(here)

    handler.get_response, handler.get_response_async = get_response, get_response_async

    def undo() -> None:
        if handler.get_response is get_response:
            handler.get_response, handler.get_response_async = sync, async_

    return undo


def _settle(here: Current) -> None:
    """Write what a rollback took away. The response is made: it can only be counted if it fails."""
    for write in here.unsettled:
        with guard.absorb("writing an audit event again after a rollback"):
            write()


def user_id() -> object:
    """Return the id of the user of the current request, or None; may ask the database.

    Not in a coroutine, where Django allows no query: there it is who is known already.
    """
    here = _current.get()
    if here is None:
        return None
    if _in_coroutine():
        return loaded_user_id()
    return _id_of(getattr(here.request, "user", None))


def loaded_user_id() -> object:
    """Return the same where the user, or the session, has been loaded by somebody else."""
    user = loaded_user()
    if user is not None:
        return _id_of(user)
    here = _current.get()
    session = None if here is None else getattr(here.request, "session", None)
    # Only what is in memory: `session.get` would ask the database.
    known = getattr(session, "_session_cache", None)
    return known.get(SESSION_KEY) if isinstance(known, dict) else None


def loaded_user() -> Any:
    """Return the user of the current request as far as it is in memory, or None."""
    here = _current.get()
    if here is None:
        return None
    user = vars(here.request).get("user")
    if user is not None and not isinstance(user, LazyObject):
        return user  # Assigned: by login(), logout() or a middleware, whatever was cached before.
    for name in ("_cached_user", "_acached_user"):
        found = getattr(here.request, name, None)
        if found is not None:
            return found
    if isinstance(user, LazyObject):
        user = vars(user).get("_wrapped")
    return None if user is empty else user


def _id_of(user: Any) -> object:
    return user.pk if getattr(user, "is_authenticated", False) else None


def _in_coroutine() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
