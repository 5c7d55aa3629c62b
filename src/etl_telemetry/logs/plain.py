"""Turn any value of a record into plain data that JSON and OTLP can carry; never raise, never log.

Why not `values`: log records keep their structure (maps and lists nest in OTLP
logs), and `values` logs what it had to change. A formatter runs while it holds
its handler's lock, and a log call from there takes the locks of other handlers:
two handlers that do so to one another are a deadlock. So what was changed is
only noted here, and the log bridge, which holds no lock, counts it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from etl_telemetry import guard, redaction

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
T = TypeVar("T")

MAX_TEXT = 4_096
"""Characters of one value."""
MAX_NAME = 256
"""Characters of a field's name."""
MAX_ITEMS = 128
"""Items of one list or map."""
MAX_VALUES = 1_000
"""Containers and objects of one record, over all its fields."""
MAX_DEPTH = 6
"""Containers inside one another."""
_INT64 = 2**63
_FAILED: Any = object()


def encodable(text: str) -> str:
    """Return `text` without lone surrogates, which would fail a whole batch as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class Converter:
    """Convert the values of one record, within bounds, and note what had to change.

    >>> Converter().convert({"when": dt.date(2013, 1, 1), "raw": b"x", "n": 2**70})
    {'when': '2013-01-01', 'raw': 'x', 'n': '1180591620717411303424'}
    """

    __slots__ = ("_finite", "_left", "_open", "_policy", "changed", "cut")

    def __init__(
        self, *, finite: bool = False, policy: redaction.Policy = redaction.NOTHING_ALLOWED
    ) -> None:
        self._finite = finite
        self._policy = policy
        self._left = MAX_VALUES
        self._open: set[int] = set()
        self.cut = False
        """Whether something was too long, too many or too deep."""
        self.changed = False
        """Whether a value could not be read, and its type's name stands for it."""

    def convert(self, value: object) -> Plain:
        """Return `value` as plain data. NaN and infinities become None where `finite` is set."""
        kind = type(value)
        if value is None or kind is bool:
            return value  # type: ignore[return-value]
        if kind is str:
            return self.text(value)  # type: ignore[arg-type]
        if kind is int or kind is float:
            return self._number(value)  # type: ignore[arg-type]
        return self._object(value)

    def text(self, value: str, *, limit: int = MAX_TEXT) -> str:
        """Return bounded, encodable text without the query values of URLs."""
        if len(value) <= limit:
            if value.isascii() and "?" not in value and "://" not in value:
                return value  # Nearly every text.
        else:
            self.cut = True
            value = value[: limit - 1] + "…"
        return encodable(redaction.urls(value, policy=self._policy))

    def field(self, key: object, value: object) -> tuple[str, Plain]:
        """Return one field of a map: its name as text, its value hidden under a secret's name."""
        name, secret = _name(key if type(key) is str else str(self.convert(key)))
        if secret and redaction.is_secret(name, policy=self._policy):
            return name, redaction.MASK
        return name, self.convert(value)

    def _number(self, number: float) -> Plain:
        if type(number) is int:
            # Past 4,300 digits even str() raises.
            return (
                number
                if -_INT64 <= number < _INT64
                else guard.attempt(lambda: str(number), "<int>")
            )
        return None if self._finite and not math.isfinite(number) else number

    def _object(self, value: object) -> Plain:
        """Convert what is not a plain scalar: its own code runs here, `isinstance` included."""
        self._left -= 1
        if id(value) in self._open:
            return "<circular>"
        if self._left < 0 or len(self._open) >= MAX_DEPTH:
            self.cut = True
            return "…"
        self._open.add(id(value))
        found: Plain = guard.attempt(lambda: self._read(value), _FAILED)
        self._open.discard(id(value))
        if found is _FAILED:
            self.changed = True
            return f"<unprintable {type(value).__qualname__}>"
        return found

    def _read(self, value: Any) -> Plain:
        for kinds, read in _KINDS:
            if isinstance(value, kinds):
                return read(self, value)
        kind = type(value)
        if dataclasses.is_dataclass(kind):
            shown = [field.name for field in dataclasses.fields(kind) if field.repr]
            return self._map((name, getattr(value, name)) for name in shown)
        if hasattr(kind, "__index__"):  # numpy's whole numbers.
            return self._number(int(operator.index(value)))
        return _framework(value) or self.text(str.__str__(str(value)))

    def _bytes(self, value: bytes) -> str:
        head = bytes(value[: MAX_TEXT + 1]).decode("utf-8", "backslashreplace")
        return self.text(head)

    def _error(self, error: BaseException) -> str:
        text = redaction.exception_text(str(error), policy=self._policy)
        return self.text(f"{type(error).__qualname__}: {text}")

    def _map(self, pairs: Iterable[tuple[object, object]]) -> dict[str, Plain]:
        return dict(self.field(key, value) for key, value in self._first(pairs))

    def _list(self, items: Iterable[object]) -> Plain:
        names = getattr(type(items), "_fields", None)
        if isinstance(items, tuple) and names:  # A named tuple.
            return self._map(zip(names, items, strict=False))
        return [self.convert(item) for item in self._first(items)]

    def _first(self, items: Iterable[T]) -> list[T]:
        found = list(islice(items, MAX_ITEMS + 1))
        if len(found) > MAX_ITEMS:
            self.cut = True
        return found[:MAX_ITEMS]


@lru_cache(maxsize=2_048)
def _name(key: str) -> tuple[str, bool]:
    """Return a field's name as it is sent, and whether it looks like a secret's."""
    name = Converter().text(key, limit=MAX_NAME) or "_"  # The SDK refuses an empty name.
    return name, redaction.is_secret(name)


# First match wins. Subclasses come here too, and their own __str__ or __int__ is not asked.
_KINDS: tuple[tuple[type | tuple[type, ...], Callable[[Converter, Any], Plain]], ...] = (
    (enum.Enum, lambda converter, value: converter.convert(value.value)),
    (str, lambda converter, value: converter.text(str.__str__(value))),
    (int, lambda converter, value: converter.convert(int.__int__(value))),
    (float, lambda converter, value: converter.convert(float.__float__(value))),
    ((bytes, bytearray, memoryview), Converter._bytes),  # noqa: SLF001 - its own table
    ((dt.date, dt.time), lambda _, value: str(value.isoformat())),
    (dt.timedelta, lambda _, value: float(value.total_seconds())),
    (BaseException, Converter._error),  # noqa: SLF001
    (Mapping, lambda converter, value: converter._map(value.items())),  # noqa: SLF001
    ((Sequence, AbstractSet), Converter._list),  # noqa: SLF001
)


def is_request(value: object) -> bool:
    """Tell whether `value` is a Django request, by its shape."""
    kind = type(value)
    return hasattr(kind, "get_full_path") and hasattr(kind, "build_absolute_uri")


def _framework(value: Any) -> Plain:
    """Describe what would query the database, or show personal data, when printed.

    Known by shape, since this room knows no Django: a model instance prints what its author
    chose (a user's e-mail address), a query set runs its query, a request shows its query
    string, a socket the client's address.
    """
    kind = type(value)
    if hasattr(kind, "_meta") and hasattr(kind, "pk"):
        return f"{value._meta.label} {value.pk}"
    if is_request(value):
        return {"method": str(value.method), "path": str(value.path)}
    silent = hasattr(kind, "_fetch_all") or hasattr(kind, "getpeername")
    return f"<{kind.__qualname__}>" if silent else None
