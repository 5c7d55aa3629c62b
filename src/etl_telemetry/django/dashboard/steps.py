"""The steps of a run, as the metrics of its task runs tell them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_PROCESSED = ("processed", "written")
_COUNTS = (*_PROCESSED, "read", "rejected", "skipped")
_DEEPEST = 4
_MOST = 50
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Step:
    """The rows of one step."""

    name: str
    """Its name; empty where the metrics name none."""
    read: int | None = None
    """Rows that it read."""
    processed: int | None = None
    """Rows that it put out."""
    rejected: int | None = None
    """Rows that it refused."""
    skipped: int | None = None
    """Rows that it left out."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Rejected rows by reason, where the metrics tell it."""


def steps(metrics: object) -> list[Step]:
    """Find the steps in the metrics of a task run, whatever the host puts around them.

    A step is an object with a whole number called `read`, `processed` (or `written`),
    `rejected` or `skipped`; its name is the key that leads to it.

    >>> steps({"steps": {"load": {"read": 3, "written": 2, "rejected": 1}}})
    [Step(name='load', read=3, processed=2, rejected=1, skipped=None, reasons={})]
    """
    return list(_found("", metrics, _DEEPEST))[:_MOST]


def _found(name: str, value: object, depth: int) -> Iterator[Step]:
    if not isinstance(value, Mapping) or depth == 0:
        return
    if any(_number(value.get(key)) is not None for key in _COUNTS):
        yield _step(name, value)
        return
    for key, inner in value.items():
        yield from _found(str(key)[:_LONGEST], inner, depth - 1)


def _step(name: str, told: Mapping[str, Any]) -> Step:
    processed = [_number(told.get(key)) for key in _PROCESSED]
    reasons = told.get("reasons")
    counted = reasons.items() if isinstance(reasons, Mapping) else ()
    return Step(
        name=name,
        read=_number(told.get("read")),
        processed=next((number for number in processed if number is not None), None),
        rejected=_number(told.get("rejected")),
        skipped=_number(told.get("skipped")),
        reasons={
            str(reason)[:_LONGEST]: number
            for reason, given in list(counted)[:_MOST]
            if (number := _number(given)) is not None
        },
    )


def _number(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return int(value) if whole and value >= 0 else None  # type: ignore[call-overload, operator]
