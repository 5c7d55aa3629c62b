"""The parameters of a page and of the API: checked, and bounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from etl_telemetry.django.dashboard.ordering import BY_NAME, ORDERS

SHORTEST, LONGEST = timedelta(minutes=15), timedelta(days=366)
CHOICES = ("1h", "24h", "7d", "30d", "90d")
"""Windows that a page offers."""
LAST_PAGE = 10_000
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_TEXT = re.compile(r"([1-9]\d{0,5})([mhd])", re.ASCII)
_LONGEST_SEARCH = 200


class WrongParameterError(ValueError):
    """A parameter that is not allowed; the text says what is."""


@dataclass(frozen=True, slots=True)
class Window:
    """How far a page looks back."""

    text: str = "24h"
    """As it stands in the address."""
    length: timedelta = timedelta(hours=24)
    """Its length."""


def window(parameters: Mapping[str, str]) -> Window:
    """Read `window`. Raises `WrongParameterError`.

    >>> window({"window": "7d"}).length
    datetime.timedelta(days=7)
    """
    text = parameters.get("window")
    if text is None:
        return Window()
    found = _TEXT.fullmatch(text)
    length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)
    if not SHORTEST <= length <= LONGEST:
        raise WrongParameterError(
            f"window must be a number with m, h or d, from 15m to 366d, got {text[:50]!r}"
        )
    return Window(text, length)


def page(parameters: Mapping[str, str]) -> int:
    """Read `page`, from 1. Raises `WrongParameterError`."""
    text = parameters.get("page", "1")
    number = int(text) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 0
    if not 1 <= number <= LAST_PAGE:
        raise WrongParameterError(
            f"page must be a whole number from 1 to {LAST_PAGE}, got {text[:50]!r}"
        )
    return number


def search(parameters: Mapping[str, str]) -> str:
    """Read `q`. Raises `WrongParameterError`."""
    text = parameters.get("q", "").strip()
    # A database may refuse a NUL, with an error.
    if len(text) > _LONGEST_SEARCH or "\0" in text:
        raise WrongParameterError(f"q must be text of at most {_LONGEST_SEARCH} characters")
    return text


def order(parameters: Mapping[str, str]) -> str:
    """Read `sort`. Raises `WrongParameterError`.

    >>> order({"sort": "-failed"}), order({})
    ('-failed', 'name')
    """
    text = parameters.get("sort", BY_NAME)
    if text.removeprefix("-") not in ORDERS:
        allowed = ", ".join(ORDERS)
        raise WrongParameterError(
            f"sort must be one of {allowed}, or one of them after '-', got {text[:50]!r}"
        )
    return text
