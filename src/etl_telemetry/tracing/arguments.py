"""What `record_args` records of a call: bounded, redacted, and without running its code."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import inspect
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

from etl_telemetry import guard, redaction, values
from etl_telemetry.catalogue import ARGUMENT_PREFIX, DropReason
from etl_telemetry.redaction import MASK
from etl_telemetry.tracing.settings import settings
from etl_telemetry.values import AttributeValue

MAX_ARGUMENTS = 32
"""Arguments of one call."""
MAX_TEXT = 256
"""Characters of one argument."""
MAX_ITEMS = 16
"""Items of one sequence; of a longer one only the length is recorded."""
_MAX_NAME = 128
_MAX_NAMES = 1_000

_SCALARS = (bool, int, float)
_TEXTS = (
    dt.date, dt.datetime, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID,
)  # fmt: skip
_SEQUENCES = (list, tuple, set, frozenset, range)
_RECEIVERS = ("self", "cls")


class Arguments:
    """Read the arguments of calls of one function."""

    __slots__ = ("_keywords", "_names", "_signature")

    def __init__(self, signature: inspect.Signature, names: frozenset[str] | None) -> None:
        self._signature = signature
        self._names = names
        kinds = {p.name: p.kind for p in signature.parameters.values()}
        self._keywords = {n for n, kind in kinds.items() if kind is inspect.Parameter.VAR_KEYWORD}

    @classmethod
    def of(cls, function: Callable[..., Any], wanted: object) -> Arguments | None:
        """Return a reader for `record_args=wanted`: True, one name or some; None if nothing is.

        A name that the function does not have is counted and left out.
        """
        found: Arguments | None = None
        with guard.absorb("reading record_args", reason=DropReason.INVALID_VALUE):
            if wanted is not None and wanted is not False:
                signature = inspect.signature(function)
                names = None if wanted is True else frozenset(_names(wanted, signature))
                found = cls(signature, names)
        return found

    def read(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, AttributeValue]:
        """Return the attributes for one call; the names that look like secrets are masked."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:
            return {}  # The call itself says so, to the right person.
        bound.apply_defaults()
        found: dict[str, AttributeValue] = {}
        for name, value in islice(self._pairs(bound), MAX_ARGUMENTS):
            shown = MASK if redaction.is_secret(name, policy=settings().policy) else show(value)
            if shown is not None:
                found[ARGUMENT_PREFIX + values.text(name, limit=_MAX_NAME)] = shown
        return found

    def _pairs(self, bound: inspect.BoundArguments) -> Iterator[tuple[str, object]]:
        first = next(iter(self._signature.parameters), None)
        for name, value in bound.arguments.items():
            if name in self._keywords:
                yield from ((n, v) for n, v in value.items() if self._is_wanted(n))
            elif self._is_wanted(name) and not (name == first and name in _RECEIVERS):
                yield name, value

    def _is_wanted(self, name: str) -> bool:
        return self._names is None or name in self._names


def show(value: object) -> AttributeValue | None:
    """Return an argument as an attribute; None where there is nothing to show.

    Plain values as they are, texts without credentials, sequences of plain values,
    and of everything else the type (a query set or a data frame is not printed).

    >>> show("http://u:p@a.example/x"), show([1, 2]), show({"a": 1}), show(object())
    ('http://REDACTED:REDACTED@a.example/x', [1, 2], '<dict of 1>', '<object>')
    """
    kind = type(value)
    if value is None:
        return None
    if kind in _SEQUENCES:
        items: Any = value
        if len(items) <= MAX_ITEMS:
            shown = [_plain(item) for item in items]
            if None not in shown:
                return values.attribute(shown)
        return f"<{kind.__name__} of {len(items)}>"
    if kind in (dict, bytes, bytearray):
        return f"<{kind.__name__} of {len(value)}>"  # type: ignore[arg-type]
    plain = _plain(value)
    return f"<{values.text(kind.__qualname__, limit=MAX_TEXT)}>" if plain is None else plain


def _plain(value: object) -> AttributeValue | None:
    kind = type(value)
    if kind in _SCALARS:
        return values.attribute(value)
    if kind is str:
        return redaction.exception_text(value, limit=MAX_TEXT, policy=settings().policy)
    if kind in _TEXTS or issubclass(kind, PurePath):
        return values.text(value, limit=MAX_TEXT)
    if issubclass(kind, enum.Enum):
        return f"{kind.__qualname__}.{value._name_}"  # type: ignore[attr-defined]
    return None


def _names(wanted: object, signature: inspect.Signature) -> Iterator[str]:
    """Yield the names that are parameters of the function, or can be keywords of a call."""
    if not isinstance(wanted, Iterable):
        detail = f"record_args must be True or names of parameters, got {type(wanted).__name__}"
        guard.drop(DropReason.INVALID_VALUE, detail=detail)
        return
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds
    for name in (wanted,) if isinstance(wanted, str) else islice(wanted, _MAX_NAMES):
        if name in signature.parameters or (takes_any and isinstance(name, str)):
            yield name
        else:
            shown = values.text(name, limit=_MAX_NAME)
            detail = f"record_args names no parameter of the function: {shown!r}"
            guard.drop(DropReason.INVALID_VALUE, detail=detail)
