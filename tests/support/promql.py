"""Read a PromQL expression: which metrics and which labels it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    ParenExpr,
    VectorSelector,
)

_WORD = re.compile(r"[A-Za-z_]\w*")
_ANY_OF = re.compile(r"\((\w+(?:\|\w+)+)\)")


@dataclass(frozen=True, slots=True)
class Selector:
    """One selector of an expression."""

    metrics: tuple[str, ...]
    """The metrics that it selects."""
    labels: frozenset[str]
    """The labels by which it selects them."""


def selectors(expression: str | Expr) -> list[Selector]:
    """Return every selector of an expression; raise `ValueError` where it is none."""
    parsed = promql_parser.parse(expression) if isinstance(expression, str) else expression
    return [_selector(part) for part in _walk(parsed) if isinstance(part, VectorSelector)]


def grouping(expression: str) -> set[str]:
    """Return the labels by which an expression groups and matches."""
    found: set[str] = set()
    for part in _walk(promql_parser.parse(expression)):
        if isinstance(part, AggregateExpr | BinaryExpr) and part.modifier is not None:
            words = re.sub(r"\b(by|without|on|ignoring|group_left|group_right|bool)\b", "",
                           str(part.modifier))  # fmt: skip
            found.update(_WORD.findall(words))
    return found


def lookback(expression: str | Expr) -> timedelta:
    """Return how far back an expression looks: its longest chain of windows and offsets."""
    part = promql_parser.parse(expression) if isinstance(expression, str) else expression
    own = (getattr(part, "range", None), getattr(part, "offset", None))
    inner = max(map(lookback, _inside(part)), default=timedelta())
    return sum((each for each in own if each is not None), inner)


def divisions(expression: str) -> list[tuple[Expr, Expr]]:
    """Return both sides of every division of an expression by something that is measured."""
    return [
        (part.lhs, part.rhs)
        for part in _walk(promql_parser.parse(expression))
        if isinstance(part, BinaryExpr) and str(part.op) == "/" and _measured(part.rhs)
    ]


def is_aggregated(part: Expr) -> bool:
    """Say whether every series of a part of an expression is inside of an aggregation."""
    if isinstance(part, AggregateExpr):
        return True
    return not isinstance(part, VectorSelector) and all(map(is_aggregated, _inside(part)))


def is_above_zero(part: Expr) -> bool:
    """Say whether a part of an expression is `(something > 0)`."""
    while isinstance(part, ParenExpr):
        part = part.expr
    return isinstance(part, BinaryExpr) and f"{part.op} {part.rhs}" == "> 0"


def _measured(part: Expr) -> bool:
    return any(isinstance(each, VectorSelector) for each in _walk(part))


def _walk(part: Expr) -> Iterator[Expr]:
    yield part
    for each in _inside(part):
        yield from _walk(each)


def _inside(part: Expr) -> list[Expr]:
    inner: list[object] = []
    if isinstance(part, BinaryExpr):
        inner = [part.lhs, part.rhs]
    elif isinstance(part, Call):
        inner = list(part.args)
    elif isinstance(part, MatrixSelector):
        inner = [part.vector_selector]
    else:
        inner = [getattr(part, "expr", None)]
    return [each for each in inner if isinstance(each, Expr)]


def _selector(part: VectorSelector) -> Selector:
    matchers = [each for each in part.matchers.matchers if each.name != "__name__"]
    named = [each.value for each in part.matchers.matchers if each.name == "__name__"]
    names = [part.name] if part.name else [name for text in named for name in _spelled(text)]
    return Selector(tuple(names), frozenset(each.name for each in matchers))


def _spelled(pattern: str) -> list[str]:
    """Return every name that a pattern such as `data_(read|skipped)_total` stands for."""
    alternatives = _ANY_OF.search(pattern)
    if alternatives is None:
        return [pattern]
    start, end = alternatives.span()
    return [
        name
        for word in alternatives[1].split("|")
        for name in _spelled(pattern[:start] + word + pattern[end:])
    ]
