"""Values that no caller should pass: what hostile and careless applications hand over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

from hypothesis import strategies as st


class Unprintable:
    """Raise when printed."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Shy:
    """Raise when asked for its class, as a lazy object does whose evaluation fails."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("not now")

    @__class__.setter
    def __class__(self, value: Any) -> NoReturn:
        raise RuntimeError("not now")


class Falsehood:
    """Raise when asked whether it is true, equal, or how long it is."""

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("neither")

    def __eq__(self, other: object) -> bool:
        raise ValueError("incomparable")

    def __len__(self) -> int:
        raise ValueError("endless")


class LyingText(str):
    """Text that raises when printed and has another hash than it compares."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("no text")


class BrokenMapping(Mapping[str, int]):
    """A mapping that breaks in the middle."""

    def __getitem__(self, key: str) -> int:
        raise LookupError(key)

    def __iter__(self) -> Iterator[str]:
        yield "a"
        raise OSError("gone")

    def __len__(self) -> int:
        return 2


HOSTILE: tuple[object, ...] = (
    None, True, -1, 10**400, -(2**63) - 1, math.nan, math.inf, -math.inf, 1e308, b"\xff\xfe",
    "", " ", "x" * 100_000, "\ud800", "a\x00b\nc", Unprintable(), Shy(), Falsehood(),
    LyingText("text"), BrokenMapping(), Decimal("NaN"), Fraction(10**400), object, print,
    datetime(1, 1, 1), datetime(9999, 12, 31, tzinfo=UTC), [1, "a", None],  # noqa: DTZ001
    {"a": {"b": [1]}}, {1: 2}, (), range(10**9), iter(()), Exception("error"),
)  # fmt: skip
"""One of each kind of nuisance."""


def anything() -> st.SearchStrategy[object]:
    """Return a strategy of arbitrary values: hostile ones and whatever Hypothesis thinks of."""
    return st.one_of(
        st.integers(0, len(HOSTILE) - 1).map(HOSTILE.__getitem__),  # Never looks into them.
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.datetimes(), st.timedeltas(), st.uuids(), st.decimals(),
        st.dictionaries(st.text(), st.integers() | st.floats(), max_size=3),
        st.lists(st.integers() | st.text(), max_size=3),
    )  # fmt: skip
