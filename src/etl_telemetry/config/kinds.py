"""Kinds of values: what is allowed, in words, and how text or a Python value becomes one.

The same kind reads an environment variable (text), an option and a Django setting
(text or the Python type): `parse` returns the value or raises `WrongValue`.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_AGGREGATIONS = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
_LEVELS = "DEBUG, INFO, WARNING, ERROR, CRITICAL"


class WrongValue(ValueError):  # noqa: N818 - it reads as what it tells
    """A value that is not allowed, with what helps to correct it.

    `got` tells what was found where the value as a whole would say too little, or
    too much; `hint` is the fix.
    """

    def __init__(self, *, got: str | None = None, hint: str | None = None) -> None:
        super().__init__(got)
        self.got = got
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of values."""

    allowed: str
    """What is allowed, in words that continue "must be"."""
    parse: Callable[[object], Any]
    """Return the value for text or for a Python value; raise `WrongValue`."""


def nearest(word: str, known: Sequence[str], *, prefix: str = "") -> str | None:
    """Return the fix for a word that is not among `known`: the nearest one that is.

    What all have as a `prefix` is not compared: it would make everything near.

    >>> nearest("djago", ["django", "celery"])
    "did you mean 'django'?"
    """
    bare = {name.removeprefix(prefix).lower(): name for name in known}
    close = get_close_matches(word.removeprefix(prefix).lower(), list(bare), n=1)
    return f"did you mean {bare[close[0]]!r}?" if close else None


def text(value: object) -> str:
    """Return printable text without the space around it."""
    if isinstance(value, str) and value.strip() and value.strip().isprintable():
        return value.strip()
    raise WrongValue


def mapping(value: object) -> Mapping[Any, Any]:
    """Return a mapping as it is, or what JSON text says."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise WrongValue(got="text that is not JSON") from None
    if not isinstance(value, Mapping):
        raise WrongValue
    return value


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = text(value).lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise WrongValue


def _standard_boolean(value: object) -> bool:
    word = text(value).lower()
    if word in {"true", "false"}:
        return word == "true"
    raise WrongValue


def _level(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    word = text(value)
    if word.isascii() and word.isdigit():
        return int(word)
    return logging.getLevelNamesMapping()[_level_name(word)]


def _level_name(value: object) -> str:
    word = text(value).upper()
    known = logging.getLevelNamesMapping()
    if word not in known:
        raise WrongValue(hint=nearest(word, list(known)))
    return word


def whole(*, at_least: int) -> Kind:
    """Return the kind of whole numbers from `at_least` on.

    >>> whole(at_least=1).parse("50")
    50
    """

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value, re.ASCII):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= at_least:
            return value
        raise WrongValue

    return Kind(f"a whole number of at least {at_least}", parse)


def number(
    unit: str = "", *, above: float = -math.inf, low: float = -math.inf, high: float = math.inf
) -> Kind:
    """Return the kind of numbers in a range, described with its `unit`.

    >>> number("seconds", above=0).parse("2.5"), number("seconds", above=0).allowed
    (2.5, 'a number of seconds above 0')
    """

    def parse(value: object) -> float:
        if not isinstance(value, (int, float, str)) or isinstance(value, bool):
            raise WrongValue
        try:
            found = float(value)
        except (ValueError, OverflowError):
            raise WrongValue from None
        if math.isfinite(found) and found > above and low <= found <= high:
            return found
        raise WrongValue

    range_ = f"above {above:g}" if above > -math.inf else f"between {low:g} and {high:g}"
    return Kind(f"a number {f'of {unit} ' if unit else ''}{range_}", parse)


def choice(*known: str) -> Kind:
    """Return the kind of one word among few, in any case.

    >>> choice("otlp", "none").parse("OTLP")
    'otlp'
    """

    def parse(value: object) -> str:
        word = text(value).lower()
        if word in known:
            return word
        raise WrongValue(hint=nearest(word, known))

    return Kind(f"one of {', '.join(known)}", parse)


TEXT = Kind("text, not empty", text)
BOOLEAN = Kind("true or false", _boolean)
STANDARD_BOOLEAN = Kind("true or false", _standard_boolean)
SWITCHED_OFF = Kind("true or false", lambda value: not _standard_boolean(value))
"""Read the other way round."""
ANYTHING = Kind("set to anything, or not set", bool)
LEVEL = Kind(f"a level of logging: {_LEVELS} or a number of at least 0", _level)
LEVEL_NAME = Kind(f"a level of logging: {_LEVELS}", _level_name)
SECONDS = number("seconds", above=0)
MILLISECONDS = Kind("a number of milliseconds above 0", lambda value: SECONDS.parse(value) / 1_000)
"""Read as seconds."""
EXPONENTIAL = Kind(
    choice(*_AGGREGATIONS).allowed,
    lambda value: choice(*_AGGREGATIONS).parse(value) == _AGGREGATIONS[1],
)
"""Read as a boolean."""
