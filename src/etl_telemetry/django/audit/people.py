"""Who acts where no request and no task says it: whoever runs the management command."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.core.management.base import BaseCommand

from etl_telemetry import pipelines
from etl_telemetry.django.audit import requests

_in_command: ContextVar[bool] = ContextVar("etl_telemetry_command", default=False)


def actor() -> object:
    """Return who acts, or None: the user of the request, who triggered the run, the operator."""
    if requests.current() is not None:
        return requests.user_id()
    return _outside()


def loaded_actor() -> object:
    """Return the same without a query: a user that nobody loaded yet is unknown."""
    if requests.current() is not None:
        return requests.loaded_user_id()
    return _outside()


def _outside() -> object:
    run = pipelines.current_run()
    if run is not None and run.triggered_by is not None:
        return run.triggered_by
    return f"os:{_login()}" if _in_command.get() else None


class Tenant:
    """Tell the tenant of the user of the request, where it is in memory."""

    def __init__(self, field: str) -> None:
        self._field = field

    def __call__(self) -> object:
        """Return it, or None; a relation behind the user is not followed."""
        user = requests.loaded_user()
        found = None if user is None else getattr(user, "__dict__", {}).get(self._field)
        return found if isinstance(found, (str, int)) and found != "" else None


def follow() -> Callable[[], None]:
    """Know from now on that a management command runs; return how to undo it."""
    command: Any = BaseCommand
    original = command.execute

    @wraps(original)
    def execute(self: Any, *args: Any, **options: Any) -> Any:
        with _command():
            return original(self, *args, **options)

    command.execute = execute

    def undo() -> None:
        if command.execute is execute:
            command.execute = original

    return undo


@contextmanager
def _command() -> Iterator[None]:
    before = _in_command.get()
    _in_command.set(True)
    try:
        yield
    finally:
        _in_command.set(before)


def _login() -> str:
    """Return the name under which somebody signed in to this machine."""
    name = os.environ.get("SUDO_USER")
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container whose user has no entry.
        return str(os.getuid())
