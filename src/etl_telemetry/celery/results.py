"""What a result backend asks its database is plumbing, as what one asks Redis is (`plumbing.py`).

The statements of django-celery-results, and of Celery's own backend for SQLAlchemy, are no
spans. What they log leaves all the same. What the application does on the way, such as the
publish of a chord's body by the last task of its header, is as if no backend was around it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from inspect import isfunction
from typing import Any

import celery
from celery.backends.base import Backend
from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from etl_telemetry import guard
from etl_telemetry.instrumentation.wrapping import all_of, replace
from etl_telemetry.logs.aloud import SPANS_ONLY

_OUTSIDE = context_api.create_key("etl_telemetry-outside-of-results")


def wrap() -> Callable[[], None]:
    """Silence every result backend of this process; return how to undo it."""
    undos: list[Callable[[], None]] = []
    known: set[type] = set()

    def silence(kind: type) -> None:
        for one in set(kind.__mro__) - known:
            known.add(one)
            if issubclass(one, Backend):
                own = (name for name in _METHODS if isfunction(vars(one).get(name)))
                undos.extend(replace(one, name, _METHODS[name]) for name in own)

    def around(original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def init(backend: Any, *args: Any, **kwargs: Any) -> None:
            # One of Django's cannot be imported before Django is ready; by now it is.
            with guard.absorb("silencing a celery result backend"):
                silence(type(backend))
            original(backend, *args, **kwargs)

        return init

    with guard.absorb("silencing celery's result backends"):
        for kind in (Backend, *_below(Backend)):
            silence(kind)
        undos.append(replace(Backend, "__init__", around))
        # What a backend calls of the application's: publishes, the body of a chord.
        undos.append(replace(celery.Celery, "send_task", _outside))
        undos.append(replace(celery.chord, "run", _outside))

    return all_of(undos)


def _below(kind: type) -> Iterator[type]:
    subclasses: list[type] = kind.__subclasses__()
    for one in subclasses:
        yield one
        yield from _below(one)


def _silent(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def ask(*args: Any, **kwargs: Any) -> Any:
        if not is_instrumentation_enabled():
            return original(*args, **kwargs)
        context = context_api.set_value(_OUTSIDE, context_api.get_current())
        context = context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, SPANS_ONLY, context)
        return _within(context, original, args, kwargs)

    return ask


def _outside(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = context_api.get_value(_OUTSIDE)
        if not isinstance(before, Context):
            return original(*args, **kwargs)
        return _within(before, original, args, kwargs)

    return call


def _within(context: Context, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    token = context_api.attach(context)
    try:
        return call(*args, **kwargs)
    finally:
        context_api.detach(token)


_QUESTIONS = (
    "store_result", "get_task_meta", "get_group_meta", "task_result_exists", "forget", "save_group",
    "restore_group", "delete_group", "cleanup", "apply_chord", "on_chord_part_return",
)  # fmt: skip
_METHODS = {**dict.fromkeys(_QUESTIONS, _silent), "chord_error_from_stack": _outside}
"""Methods of a backend that ask what is behind it; and the one that runs errbacks."""
