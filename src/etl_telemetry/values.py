"""Turn any Python value into one that OpenTelemetry accepts; never raise.

The SDK logs a warning while it holds the span's lock when it meets a value that
it does not know, which can deadlock with a log handler that touches the span
(trap 2). So no value reaches the SDK that has not been through here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason

AttributeValue = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]

DEFAULT_LIMIT = 1_024
MAX_ITEMS = 128
_INT64 = 2**63


def text(value: object, *, limit: int = DEFAULT_LIMIT) -> str:
    """Return ``value`` as text of at most ``limit`` characters; count what was cut or unprintable.

    >>> text(b"caf\\xc3\\xa9")
    'café'
    >>> text("x" * 5, limit=3)
    'xx…'
    """
    if isinstance(value, str):
        result = value
    elif isinstance(value, (bytes, bytearray)):
        result = bytes(value[: limit + 1]).decode("utf-8", "replace")
    else:
        result = _printed(value)
    if len(result) > limit:
        guard.drop(DropReason.TRUNCATED, detail=f"text longer than {limit} characters was cut")
        result = result[: limit - 1] + "…"
    # Lone surrogates cannot be encoded as UTF-8, and would fail the whole batch.
    return result if result.isascii() else result.encode("utf-8", "replace").decode("utf-8")


def attribute(value: object, *, limit: int = DEFAULT_LIMIT) -> AttributeValue:
    """Return ``value`` as an OpenTelemetry attribute value: a scalar or a list of one type.

    Numbers keep their type where 64 bits hold them; sequences are cut at 128
    items and become text where their types differ; everything else becomes text.

    >>> attribute((1, 2))
    [1, 2]
    >>> attribute({"a": 1})
    "{'a': 1}"
    """
    if type(value) is str and len(value) <= limit and value.isascii():
        return value  # Hot path: nearly every attribute.
    if isinstance(value, (bool, int, float, Integral)):
        return _number(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return _sequence(value, limit=limit)
    return text(value, limit=limit)


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
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        number = int(value)
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    else:
        return None
    return number if 0 <= number < _INT64 else None


def seconds(value: object) -> float | None:
    """Return a finite number of seconds >= 0, or None where ``value`` is not one.

    >>> seconds(1), seconds(-0.1), seconds(float("inf")), seconds("1")
    (1.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # A whole number beyond what a float holds.
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _printed(value: object) -> str:
    result = f"<unprintable {type(value).__name__}>"
    with guard.absorb("printing a value of the application", reason=DropReason.INVALID_VALUE):
        result = str(value)
    return result


def _number(value: float | Integral) -> AttributeValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        number = int(value)
        return number if -_INT64 <= number < _INT64 else text(number)
    return float(value)


def _sequence(value: Sequence[object], *, limit: int) -> AttributeValue:
    if not isinstance(value, (list, tuple, range)):
        return text(value, limit=limit)  # The application's own class: print it, run no more of it.
    items = [attribute(item, limit=limit) for item in value[:MAX_ITEMS]]
    if len(value) > MAX_ITEMS:
        guard.drop(
            DropReason.TRUNCATED, detail=f"sequence longer than {MAX_ITEMS} items was cut"
        )
    if len({type(item) for item in items}) <= 1 and not any(isinstance(i, list) for i in items):
        return items  # type: ignore[return-value]
    return [text(item, limit=limit) for item in items]
