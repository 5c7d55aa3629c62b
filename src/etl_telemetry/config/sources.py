"""Where values come from, in the order of precedence, and how a wrong one is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from etl_telemetry import redaction
from etl_telemetry.config.field import PREFIX, SETTING, Field, Variable
from etl_telemetry.config.kinds import Kind, WrongValue, nearest

_MAX_SHOWN = 80


class Rank(IntEnum):
    """The sources, first one wins."""

    OPTION = 0
    STANDARD = 1
    OWN = 2
    SETTING = 3


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave for a field."""

    value: Any
    """The value, parsed."""
    name: str
    """What a sentence about it calls it: the field, or the standard variable."""
    where: str
    """Where it comes from, in words for people."""
    rank: Rank
    """How far its source stands from the top."""
    lenient: bool = False
    """Whether a wrong value is ignored with a warning."""


@dataclass(slots=True)
class Findings:
    """What is wrong, as sentences."""

    problems: list[str] = field(default_factory=list)
    """Of ours: they stop the process."""
    ignored: dict[str, str] = field(default_factory=dict)
    """Of others, by variable: a warning lists them."""

    def wrong(self, given: Given, allowed: str, wrong: WrongValue, *, secret: bool = False) -> None:
        """Note a wrong value: what, the value, where from, what is allowed, the fix."""
        got = wrong.got or ("a value that is not shown" if secret else shown(given.value))
        fix = wrong.hint or "correct it or remove it"
        sentence = f"{given.name} must be {allowed}, got {got} (from {given.where}); {fix}"
        if given.lenient:
            self.ignored[given.name] = sentence
        else:
            self.problems.append(sentence)


class Sources:
    """Everything that was handed in, read once."""

    def __init__(
        self,
        options: Mapping[str, object],
        environ: Mapping[str, str],
        settings: object,
        findings: Findings,
    ) -> None:
        self._options = options
        self._environ = environ
        self._findings = findings
        self._settings: Mapping[str, object] = {}
        if isinstance(settings, Mapping):
            self._settings = settings
        elif settings is not None:
            findings.problems.append(
                f"{SETTING} must be a dictionary, got {shown(settings)} (from Django's settings); "
                f"its keys are names of fields in upper case"
            )

    def unknown(self, fields: Sequence[Field]) -> None:
        """Note every key that no field has, with the nearest right one."""
        options = [row.name for row in fields]
        settings = [row.setting for row in fields]
        variables = [PREFIX + row.setting for row in fields]
        own = [name for name in self._environ if name.startswith(PREFIX)]
        for given, known, prefix, where in (
            (self._options, options, "", "setup_telemetry()"),
            (own, variables, PREFIX, "the environment"),
            (self._settings, settings, "", f"{SETTING} in Django's settings"),
        ):
            for key in given:
                if key not in known:
                    fix = nearest(str(key), known, prefix=prefix) or f"known are {', '.join(known)}"
                    self._findings.problems.append(f"{key!r} is unknown (from {where}); {fix}")

    def read(self, row: Field) -> Iterator[Given]:
        """Yield what is given for a field, the first one wins; note what is wrong."""
        option, key = self._options.get(row.name), self._settings.get(row.setting)
        if option is not None:
            where = f"setup_telemetry({row.name}=...)"
            yield from self._parsed(row, row.kind, Given(option, row.name, where, Rank.OPTION))
        for variable in row.standard:
            yield from self._variable(row, variable, Rank.STANDARD)
        for variable in row.own:
            yield from self._variable(row, variable, Rank.OWN)
        if key is not None:
            where = f"{SETTING}[{row.setting!r}] in Django's settings"
            yield from self._parsed(row, row.kind, Given(key, row.name, where, Rank.SETTING))

    def _variable(self, row: Field, variable: Variable, rank: Rank) -> Iterator[Given]:
        text = self._environ.get(variable.name, "")
        if text.strip():  # The specification: an empty variable is an unset one.
            name = variable.name if variable.lenient else row.name
            where = "the environment" if variable.lenient else variable.name
            given = Given(text, name, where, rank, variable.lenient)
            for found in self._parsed(row, variable.kind, given):
                yield replace(found, value=row.default) if variable.exporters_read else found

    def _parsed(self, row: Field, kind: Kind, given: Given) -> Iterator[Given]:
        """Yield `given` with its value parsed; nothing where it is wrong."""
        try:
            value = kind.parse(given.value)
        except WrongValue as wrong:
            self._findings.wrong(given, kind.allowed, wrong, secret=row.secret)
        else:
            if isinstance(value, dict):
                value = MappingProxyType(value)
            yield replace(given, value=value)


def shown(value: object) -> str:
    """Return a wrong value for people: short, and without what may be a secret.

    >>> shown("1.5"), shown(["a"]), shown("http://ann:pw@host/")
    ("'1.5'", 'a value of type list', "'http://REDACTED:REDACTED@host/'")
    """
    if isinstance(value, str):
        return repr(redaction.urls(value[:_MAX_SHOWN]))
    if value is None or type(value) in {bool, int, float}:
        return repr(value)[:_MAX_SHOWN]
    return f"a value of type {type(value).__name__}"
