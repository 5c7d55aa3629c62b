"""One row of the table, and how it is written beside its field."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from etl_telemetry.config.kinds import Kind

PREFIX = "ETL_TELEMETRY_"
"""Prefix of our own variables, and the name of the Django setting."""
SETTING = "ETL_TELEMETRY"


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that a field can come from."""

    name: str
    """Its name."""
    kind: Kind
    """What is allowed in it."""
    exporters_read: bool = False
    """Whether it is only checked here: the exporters read it, and it stays out of `Config`."""

    @property
    def lenient(self) -> bool:
        """Whether a wrong value is ignored with a warning: it is not only ours."""
        return not self.name.startswith(PREFIX)


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """What is known of one field of `Config`."""

    name: str
    """Name of the field and of the option of `setup_telemetry()`."""
    default: Any
    """Value where nobody gives one."""
    kind: Kind
    """What is allowed."""
    standard: tuple[Variable, ...]
    """Variables of OpenTelemetry, first one first."""
    own: tuple[Variable, ...]
    """Our variable, then those of the former stack that stay."""
    attributes: tuple[str, ...]
    """Resource attributes that give this field too."""
    inherits: str | None
    """Field that gives the value where none is given, before the default."""
    secret: bool
    """Whether the value is never shown."""
    docs: Callable[[], Mapping[str, str]]
    """Give the meanings of all fields, by name."""

    @property
    def doc(self) -> str:
        """Its meaning: the docstring under the field."""
        return self.docs()[self.name]

    @property
    def allowed(self) -> str:
        """What is allowed, in words that continue "must be"."""
        return self.kind.allowed

    @property
    def setting(self) -> str:
        """Key in the Django setting `ETL_TELEMETRY`."""
        return self.name.upper()

    @property
    def env(self) -> tuple[str, ...]:
        """Names of its variables; the first that is set counts."""
        return tuple(variable.name for variable in (*self.standard, *self.own))


def setting(
    kind: Kind,
    *,
    default: object,
    standard: str | Mapping[str, Kind] = "",
    plain: str | Mapping[str, Kind] = "",
    exporters_read: str = "",
    attributes: str | Sequence[str] = (),
    inherits: str | None = None,
    secret: bool = False,
) -> Any:
    """Declare a field of `Config` beside its name and type.

    Args:
        kind: What is allowed.
        default: Value where nobody gives one.
        standard: Variable of OpenTelemetry; a mapping where its kind is another one.
        plain: Variable without prefix, from the former stack; likewise.
        exporters_read: Variable of OpenTelemetry that is checked and left to the exporters.
        attributes: Resource attributes that give this field too.
        inherits: Field whose value is taken where none is given.
        secret: Whether the value must never be shown.
    """
    left = (Variable(exporters_read, kind, exporters_read=True),) if exporters_read else ()
    if isinstance(default, Mapping):
        default = MappingProxyType(default)
    field = Field(
        name="",
        default=default,
        kind=kind,
        standard=(*_variables(standard, kind), *left),
        own=_variables(plain, kind),
        attributes=(attributes,) if isinstance(attributes, str) else tuple(attributes),
        inherits=inherits,
        secret=secret,
        docs=dict,
    )
    return dataclasses.field(default_factory=lambda: default, metadata={"setting": field})


def complete(cls: type) -> tuple[Field, ...]:
    """Return the rows of a class whose fields were declared with `setting`."""
    return tuple(
        dataclasses.replace(
            row,
            name=part.name,
            own=(Variable(PREFIX + part.name.upper(), row.kind), *row.own),
            docs=lambda: _docstrings(cls),
        )
        for part in dataclasses.fields(cls)
        if (row := part.metadata.get("setting")) is not None
    )


def _variables(names: str | Mapping[str, Kind], kind: Kind) -> tuple[Variable, ...]:
    if isinstance(names, str):
        return (Variable(names, kind),) if names else ()
    return tuple(Variable(name, own_kind) for name, own_kind in names.items())


@cache
def _docstrings(cls: type) -> Mapping[str, str]:
    """Read the docstrings under the fields, which exist in the source only: for the docs."""
    import ast
    import inspect

    (body,) = ast.parse(inspect.getsource(cls)).body
    statements = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(statements)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
