"""Label values: any value becomes short text, and each label has a bounded number of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from etl_telemetry import guard, values
from etl_telemetry.catalogue import (
    BOUNDS,
    BUILD_DATE,
    ENVIRONMENT,
    ORGANIZATION,
    OTHER,
    PIPELINE_NAME,
    UNKNOWN,
    VERSION,
    ConnectorStatus,
    DropReason,
    QueryStatus,
    RunStatus,
    TaskStatus,
    TransactionStatus,
)

MAX_LENGTH = 200
"""Characters of a label value; what is longer is cut and counted."""

_PLATFORM_BOUND = 20
_NOT_DECLARED = 200
"""Values of a label that the catalogue does not bound: one of an application's own gauge."""


class LabelBound:
    """Admit the first ``limit`` different values of one label; the others become ``other``.

    ``other`` and ``unknown`` always pass and do not count. Safe for threads: the
    value that takes the last place keeps it, and each value gets one answer.

    >>> bound = LabelBound("pipeline.name", 1)
    >>> bound("daily"), bound("weekly"), bound("daily")
    ('daily', 'other', 'daily')
    """

    __slots__ = ("_admitted", "_attribute", "_limit", "_lock", "_pid")

    def __init__(self, attribute: str, limit: int) -> None:
        self._attribute = attribute
        self._admitted = {OTHER, UNKNOWN}
        self._limit = limit + len(self._admitted)
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def __call__(self, value: str) -> str:
        """Return ``value``, or ``other`` when the label is full."""
        if value in self._admitted:  # Hot path: nearly every measurement.
            return value
        if self._admit(value):
            return value
        guard.drop(
            DropReason.LABEL_OVERFLOW,
            detail=f"{self._attribute} has more than {self._limit - 2} values: it became '{OTHER}'",
        )
        return OTHER

    def _admit(self, value: str) -> bool:
        if self._pid != os.getpid():
            # A thread of the parent may have held the lock during the fork. No
            # at-fork hook: uWSGI does not run them (trap 12).
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            if len(self._admitted) < self._limit:
                self._admitted.add(value)
            return value in self._admitted


def label(value: object, *, attribute: str) -> str:
    """Return ``value`` as the text of a label: 1 to 200 characters, never raises.

    Text, whole numbers and UUIDs are as good as text; anything else is printed
    and counted as an invalid value; what names nothing becomes ``unknown``.

    >>> label("daily", attribute="pipeline.name"), label(7, attribute="pipeline.name")
    ('daily', '7')
    """
    if type(value) is str and 0 < len(value) <= MAX_LENGTH and value.isascii():
        return value  # Hot path: nearly every label.
    text = ""
    with guard.absorb(f"reading the label {attribute}", reason=DropReason.INVALID_VALUE):
        text = _coerced(value, attribute)
    return text or UNKNOWN


def status_of(value: object, kind: type[StrEnum]) -> str:
    """Return a status of ``kind`` as text, in any case of letters; never raises.

    A status that the catalogue does not know becomes ``unknown`` and is counted:
    leaving the event out would make sums wrong, and guessing would make rates wrong.

    >>> status_of("SUCCESS", RunStatus), status_of(RunStatus.LOST, RunStatus)
    ('success', 'lost')
    """
    allowed = _STATUSES[kind]
    if type(value) is str and (value in allowed or value == UNKNOWN):
        return value  # `unknown` was counted where it became so.
    text = label(value, attribute=f"status of a {_THINGS[kind]}").strip().lower()
    if text in allowed:
        return text
    guard.drop(
        DropReason.UNKNOWN_STATUS,
        detail=f"the status of a {_THINGS[kind]} must be one of {', '.join(allowed)}: "
        f"it became '{UNKNOWN}'",
    )
    return UNKNOWN


def configure(*, max_pipelines: int, max_organizations: int) -> None:
    """Set how many pipelines and organizations keep a name of their own on metrics.

    Called once by the set-up, with values that it has checked. What was admitted
    before is forgotten, so that the new bounds hold from here on.

    >>> configure(max_pipelines=2_000, max_organizations=50)
    """
    _bounds.use({PIPELINE_NAME: max_pipelines, ORGANIZATION: max_organizations})


def limit_of(attribute: str) -> int:
    """Return how many values of ``attribute`` keep a name of their own."""
    return _bounds.limits.get(attribute, _NOT_DECLARED)


def bounded(attribute: str, value: object) -> str:
    """Return the label value that may be written for ``attribute``; never raises."""
    return _bounds.by_attribute[attribute](label(value, attribute=attribute))


class _Bounds:
    """Hold the bound of each label of this process."""

    __slots__ = ("by_attribute", "limits")

    def __init__(self) -> None:
        self.use({})

    def use(self, limits: Mapping[str, int]) -> None:
        """Begin anew with the catalogue's limits, but for those given here."""
        self.limits = {**_DEFAULTS, **limits}
        self.by_attribute = {name: LabelBound(name, limit) for name, limit in self.limits.items()}


_DEFAULTS = {
    **BOUNDS,
    VERSION: _PLATFORM_BOUND,
    ENVIRONMENT: _PLATFORM_BOUND,
    BUILD_DATE: _PLATFORM_BOUND,
}
_THINGS: Mapping[type[StrEnum], str] = MappingProxyType(
    {
        RunStatus: "run",
        TaskStatus: "task",
        ConnectorStatus: "connector operation",
        QueryStatus: "database query",
        TransactionStatus: "database transaction",
    }
)
_STATUSES: Mapping[type[StrEnum], tuple[str, ...]] = MappingProxyType(
    {kind: tuple(member.value for member in kind) for kind in _THINGS}
)
_bounds = _Bounds()


def _coerced(value: object, attribute: str) -> str:
    """Return ``value`` as text, and count a type that does not name things."""
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)) or value == "":
        guard.drop(DropReason.INVALID_VALUE, detail=f"{attribute} must be text that is not empty")
        if value is None:
            return UNKNOWN
    # An exact `str`: a subclass may print itself otherwise than it compares.
    exact = str.__str__(value) if isinstance(value, str) else value
    return values.text(exact, limit=MAX_LENGTH)
