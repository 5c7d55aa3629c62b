"""The host's models as telemetry sees them: resolved, checked, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Model

from etl_telemetry.catalogue import RunStatus
from etl_telemetry.django.mapping.roles import ACTIVE

_FALLBACKS = {RunStatus.LOST: RunStatus.FAILED, RunStatus.CANCELLED: RunStatus.FAILED}


@dataclass(frozen=True, slots=True)
class Mapped:
    """One model of the host."""

    model: type[Model]
    """The model."""
    fields: Mapping[str, str | None]
    """Fact -> field, or lookup `a__b`; None: the model does not tell it."""

    def __getitem__(self, fact: str) -> str:
        """Return the field of a fact that every model of this role tells."""
        field = self.fields[fact]
        if field is None:
            raise KeyError(fact)
        return field

    def get(self, fact: str) -> str | None:
        """Return the field of a fact, or None."""
        return self.fields[fact]


@dataclass(frozen=True, slots=True)
class Statuses:
    """Telemetry's words for the status of a run, and the host's values."""

    values: Mapping[str, tuple[object, ...]]
    """Word -> the host's values for it; the first one is written."""

    def word(self, value: object) -> str | None:
        """Return the word for a value of the host; None where nobody mapped it."""
        return next((word for word, values in self.values.items() if value in values), None)

    def of(self, *words: str) -> list[object]:
        """Return the host's values for some words."""
        return [value for word in words for value in self.values.get(word, ())]

    @property
    def active(self) -> list[object]:
        """The host's values for a run that has still to end."""
        return self.of(*ACTIVE)

    def ending(self, status: object) -> tuple[str, object] | None:
        """Return the word that is counted and the value that is written; None: it is no end.

        `status` is a word or a value of the host. Where the host has no value for
        `lost` or `cancelled`, the run failed: table and counters say the same.
        """
        word = status if status in tuple(RunStatus) else self.word(status)
        if word is None or word in ACTIVE:
            return None
        ended = RunStatus(str(word))
        if not self.values.get(ended):
            ended = _FALLBACKS[ended]
        values = self.values[ended]
        return ended.value, status if status in values else values[0]


@dataclass(frozen=True, slots=True)
class Models:
    """All models of the host that the setting maps."""

    pipeline: Mapped
    """What is run."""
    run: Mapped
    """Executions: the ledger."""
    organization: Mapped | None
    """Tenants; None: a pipeline names its organization itself, or has none."""
    task_run: Mapped | None
    """Deliveries of tasks, with their rows; None: rows are not known."""
    connector: Mapped | None
    """Sources and targets of data."""
    statuses: Statuses
    """What the statuses of a run are called."""
    rows: tuple[tuple[str, ...], ...]
    """Paths in a task run's metrics whose numbers, added up, are its rows."""
    databases: tuple[str, ...]
    """Aliases in which there are runs."""

    @property
    def organization_name(self) -> str | None:
        """Lookup from a pipeline to the name of its organization."""
        field = self.pipeline.get("organization")
        if field is None or self.organization is None:
            return field
        return f"{field}__{self.organization['name']}"

    def of_run(self, lookup: str) -> str:
        """Return a lookup of a pipeline as a lookup of its run."""
        return f"{self.run['pipeline']}__{lookup}"
