"""Expressions that databases write each in their own way."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

from django.db.models import (
    Aggregate,
    BigIntegerField,
    DurationField,
    ExpressionWrapper,
    F,
    FloatField,
    Func,
    Q,
    Value,
)
from django.db.models.functions import Coalesce

from etl_telemetry.django.mapping import Models
from etl_telemetry.metrics.record import MAX_ROWS

_WHOLE = f'? (@.type() == "number" && @ >= 0 && @ <= {MAX_ROWS} && @.floor() == @)'
_NO_ROWS = Value(0, output_field=BigIntegerField())
_OWN = "etl_telemetry_"
"""Begin of our names in a query: Django refuses those of the host's fields, and mixes them up."""


def own(name: str) -> str:
    """Return what something that we compute is called in a query."""
    return _OWN + name


def computed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what we computed in a row, by its name without the prefix."""
    return {
        name.removeprefix(_OWN): value for name, value in facts.items() if name.startswith(_OWN)
    }


def duration(models: Models) -> Any:
    """Return how long a run took."""
    ended, began = F(models.run["finished_at"]), F(models.run["started_at"])
    return ExpressionWrapper(ended - began, output_field=DurationField())


def measured(models: Models, *, prefix: str = "") -> Q:
    """Return which runs have a duration that counts: they succeeded, and no clock went back."""
    run = models.run
    return Q(
        **{
            f"{prefix}{run['status']}__in": models.statuses.of("success"),
            f"{prefix}{run['finished_at']}__gte": F(f"{prefix}{run['started_at']}"),
        }
    )


def rows(metrics: str, paths: tuple[tuple[str, ...], ...]) -> Any:
    """Return the rows of a task run: the numbers at all paths, added up."""
    return reduce(add, (Coalesce(RowsAt(metrics, path), _NO_ROWS) for path in paths))


class PercentileCont(Aggregate):
    """PostgreSQL's `percentile_cont`, in seconds."""

    function = "PERCENTILE_CONT"
    template = (
        "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM %(expressions)s))"
    )
    output_field = FloatField()

    def __init__(self, expression: Any, *, fraction: float, **extra: Any) -> None:
        super().__init__(expression, fraction=float(fraction), **extra)


class RowsAt(Func):
    """The number of rows at a path of a JSON field: whole, 0 to 10**12; NULL for anything else.

    The type is asked first: PostgreSQL would fail at a cast of text, and the whole query with
    it, and SQLite would read text as far as it is a number.
    """

    output_field = BigIntegerField()

    def __init__(self, field: str, path: tuple[str, ...]) -> None:
        super().__init__(F(field))
        self.path = path

    def as_postgresql(
        self, compiler: Any, connection: Any, **_: Any
    ) -> tuple[str, tuple[Any, ...]]:
        """Read a `jsonb` column, once: a test and a cast would read it five times."""
        column, params = compiler.compile(self.source_expressions[0])
        sql = f"(JSONB_PATH_QUERY_FIRST({column}, %s::JSONPATH, '{{}}', TRUE))::BIGINT"
        # Strict, so that the first element of an array is not taken for a number.
        return sql, (*params, f"strict {self._path()} {_WHOLE}")

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, tuple[Any, ...]]:
        """Read a column of JSON text."""
        column, params = compiler.compile(self.source_expressions[0])
        number = f"JSON_EXTRACT({column}, %s)"
        sql = (
            f"CASE WHEN JSON_TYPE({column}, %s) IN ('integer', 'real') "
            f"AND {number} BETWEEN 0 AND {MAX_ROWS} AND {number} = CAST({number} AS INTEGER) "
            f"THEN CAST({number} AS INTEGER) END"
        )
        return sql, (*params, self._path()) * 5

    def as_mysql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, tuple[Any, ...]]:
        """Read a column of JSON; in MariaDB what is extracted is text, which `+ 0` reads."""
        column, params = compiler.compile(self.source_expressions[0])
        found = f"JSON_EXTRACT({column}, %s)"
        sql = (
            f"CASE WHEN JSON_TYPE({found}) IN ('INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL') "
            f"AND {found} + 0 BETWEEN 0 AND {MAX_ROWS} AND {found} + 0 = FLOOR({found} + 0) "
            f"THEN CAST({found} + 0 AS SIGNED) END"
        )
        return sql, (*params, self._path()) * 5

    def _path(self) -> str:
        return "$" + "".join(f'."{part}"' for part in self.path)
