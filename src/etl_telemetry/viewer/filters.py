"""Conditions of a query as SQL with parameters; attribute names are parameters, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from etl_telemetry.viewer.flatten import dumps, number

_ATTRIBUTE = """EXISTS (SELECT 1 FROM (
  SELECT type, value, 1 AS place FROM json_each(t.attributes) WHERE key = ?
  UNION ALL SELECT type, value, 2 FROM json_each(w.resource) WHERE key = ?
  ORDER BY place LIMIT 1) WHERE %s)"""
_AS_TEXT = """CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'
  WHEN 'null' THEN 'null' ELSE CAST(value AS TEXT) END = ?"""
_IS_BOOL = "type = ?"
_IS_NUMBER = "type IN ('integer', 'real') AND value = ?"
_IS_TEXT = "type = 'text' AND value = ?"
_IS_NULL = "type = 'null'"
_IS_OTHER = "type IN ('array', 'object') AND value = ?"
_MOST = 2**63
"""SQLite's integers go up to this."""


class Loose(str):
    """A value from a URL: it equals an attribute of any type whose text is the same."""

    __slots__ = ()


class Filter:
    """Collect conditions on a signal table `t` and its writer `w`.

    >>> found = Filter().equal("t.name", "load").equal("w.service", None)
    >>> found.sql, found.values
    ('WHERE t.name = ?', ['load'])
    """

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[object] = []
        """Parameters of `sql`, in order."""

    @property
    def sql(self) -> str:
        """The WHERE clause; "" without conditions."""
        return "WHERE " + " AND ".join(self._conditions) if self._conditions else ""

    def equal(self, column: str, value: str | None) -> Self:
        """Demand that a column has this value; None demands nothing."""
        if value is not None:
            self._conditions.append(f"{column} = ?")
            self.values.append(value)
        return self

    def where(self, attributes: Mapping[str, object] | None) -> Self:
        """Demand attributes of the item or, where it does not have the key, of its resource."""
        for key, value in (attributes or {}).items():
            test, expected = _test(value)
            self._conditions.append(_ATTRIBUTE % test)
            self.values += [key, key, *expected]
        return self


def _test(value: object) -> tuple[str, list[object]]:
    """Return a condition on `type` and `value` of an attribute, and its parameters."""
    if isinstance(value, float):
        value = number(value)
    if isinstance(value, str):
        return (_AS_TEXT if isinstance(value, Loose) else _IS_TEXT), [str(value)]
    if value is None:
        return _IS_NULL, []
    if isinstance(value, bool):
        return _IS_BOOL, ["true" if value else "false"]
    if isinstance(value, float) or (isinstance(value, int) and -_MOST <= value < _MOST):
        return _IS_NUMBER, [value]
    return _IS_OTHER, [dumps(value)]
