"""Turn any Python value into one that OpenTelemetry accepts; never raise.

The SDK logs a warning while it holds the span's lock when it meets a value that
it does not know, which can deadlock with a log handler that touches the span
(trap 2). So no value reaches the SDK that has not been through here.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason

AttributeValue = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]

DEFAULT_LIMIT = 1_024
MAX_ITEMS = 128
_INT64 = 2**63
_CONTAINERS = reprlib.Repr()
_CONTAINERS.maxlevel = 3
_CONTAINERS.maxlist = _CONTAINERS.maxtuple = _CONTAINERS.maxdict = 32
_CONTAINERS.maxset = _CONTAINERS.maxfrozenset = 32
_CONTAINERS.maxstring = _CONTAINERS.maxother = _CONTAINERS.maxlong = DEFAULT_LIMIT
_MAX_FLOAT = sys.float_info.max


def text(value: object, *, limit: int = DEFAULT_LIMIT) -> str:
    r"""Return ``value`` as text of at most ``limit`` characters; count what was cut or unprintable.

    >>> text(b"caf\xc3\xa9")
    'café'
    >>> text("x" * 5, limit=3)
    'xx…'
    """
    result = value if type(value) is str else _printed(value, limit)
    if len(result) > limit:
        guard.drop(DropReason.TRUNCATED, detail=f"text longer than {limit} characters was cut")
        result = result[: limit - 1] + "…"
    # Lone surrogates cannot be encoded as UTF-8, and would fail the whole batch.
    return result if result.isascii() else result.encode("utf-8", "replace").decode("utf-8")


def attribute(value: object, *, limit: int = DEFAULT_LIMIT) -> AttributeValue:
    """Return ``value`` as an OpenTelemetry attribute value: a scalar or a list of one type.

    Numbers keep their type where 64 bits hold them; lists and tuples are cut at
    128 items and become text where their types differ; everything else becomes text.

    >>> attribute((1, 2))
    [1, 2]
    >>> attribute({"a": 1})
    "{'a': 1}"
    """
    kind = type(value)
    if kind is str or kind is bool or kind is float:
        return text(value, limit=limit) if kind is str else value  # type: ignore[return-value]
    if kind is int and -_INT64 <= value < _INT64:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    result: AttributeValue | None = None
    # The application's own classes may fail at anything, `isinstance` included.
    with guard.absorb("reading a value of the application", reason=DropReason.INVALID_VALUE):
        result = _converted(value, limit)
    return text(value, limit=limit) if result is None else result


def attributes(
    mapping: Mapping[str, object], *, limit: int = DEFAULT_LIMIT
) -> dict[str, AttributeValue]:
    """Return a copy of ``mapping`` with legal keys and values; None values are left out.

    >>> attributes({"rows": 3, "source": None})
    {'rows': 3}
    """
    return {
        text(key, limit=DEFAULT_LIMIT): attribute(value, limit=limit)
        for key, value in mapping.items()
        if value is not None and key
    }


def count(value: object) -> int | None:
    """Return a whole number >= 0, or None where ``value`` is not one.

    >>> count(3), count(-1), count("3"), count(float("nan"))
    (3, None, None, None)
    """
    if type(value) is not int:
        value = _number(value)
        if isinstance(value, float):
            value = int(value) if value.is_integer() else None
    return value if value is not None and 0 <= value < _INT64 else None


def seconds(value: object) -> float | None:
    """Return a finite number of seconds >= 0, or None where ``value`` is not one.

    >>> seconds(1), seconds(-0.1), seconds(float("inf")), seconds("1")
    (1.0, None, None, None)
    """
    number = _number(value)
    # The comparison is exact for ints beyond a float, and false for NaN.
    return float(number) if number is not None and 0 <= number <= _MAX_FLOAT else None


def _printed(value: object, limit: int) -> str:
    result = f"<unprintable {type(value).__name__}>"
    with guard.absorb("printing a value of the application", reason=DropReason.INVALID_VALUE):
        if isinstance(value, (bytes, bytearray)):
            result = bytes(value[: limit + 1]).decode("utf-8", "replace")
        elif isinstance(value, str):
            result = str.__str__(value)  # A subclass may print itself as it likes.
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            result = _CONTAINERS.repr(value)  # `str` of lists that share lists never ends.
        else:
            result = str.__str__(str(value))
    return result


def _number(value: object) -> int | float | None:
    result: int | float | None = None
    with guard.absorb("reading a number", reason=DropReason.INVALID_VALUE):
        if isinstance(value, bool):
            pass
        elif isinstance(value, Integral):
            result = int(value)
        elif isinstance(value, Real):
            result = float(value)
    return result


def _converted(value: object, limit: int) -> AttributeValue | None:
    """Return numbers and sequences as the protocol has them; None for all that becomes text."""
    if isinstance(value, Integral):
        number = int(value)
        return number if -_INT64 <= number < _INT64 else None
    if isinstance(value, float):
        return float(value)
    # Other sequences are the application's own classes: print them, run no more of them.
    return _sequence(value, limit) if isinstance(value, (list, tuple, range)) else None


def _sequence(value: Sequence[object], limit: int) -> AttributeValue:
    # A list within a list is text at once: lists that hold one another many times are walked
    # once for each way that leads to them, which may be for ever.
    items = [
        text(item, limit=limit)
        if isinstance(item, (list, tuple, range))
        else attribute(item, limit=limit)
        for item in value[:MAX_ITEMS]
    ]
    if len(value) > MAX_ITEMS:
        guard.drop(DropReason.TRUNCATED, detail=f"sequence longer than {MAX_ITEMS} items was cut")
    if len({type(item) for item in items}) <= 1:
        return items  # type: ignore[return-value]
    return [text(item, limit=limit) for item in items]
