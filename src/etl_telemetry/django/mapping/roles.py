"""The roles that models of the host can have, and what each role has to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from etl_telemetry.catalogue import RunStatus

Kind = Literal["any", "moment", "json", "users"]


@dataclass(frozen=True, slots=True)
class Key:
    """One fact that a model tells, by the name of one of its fields."""

    name: str
    """Name of the fact: the key in the setting."""
    default: str
    """Name of the field where the setting names none."""
    kind: Kind = "any"
    """What kind of field it must be."""
    to: str = ""
    """Role of the model that it leads to by a foreign key, where that role is mapped."""
    optional: bool = False
    """Whether the model may lack it: then the default counts only where there is such a field."""
    written: bool = False
    """Whether we change it: then it must be a field of the model itself, not `a__b`."""


ROLES: Mapping[str, tuple[Key, ...]] = MappingProxyType(
    {
        "organization": (
            Key("name", "name"),
            # No default: who may see what must be said.
            Key("members", "", "users", optional=True),
        ),
        "pipeline": (
            Key("name", "name"),
            Key("organization", "organization", to="organization", optional=True),
        ),
        "run": (
            Key("pipeline", "pipeline", to="pipeline"),
            Key("status", "status", written=True),
            Key("started_at", "started_at", "moment"),
            Key("finished_at", "finished_at", "moment", written=True),
            Key("trigger", "trigger_type", optional=True),
            Key("triggered_by", "triggered_by", optional=True),
            Key("attempt", "attempt", optional=True),
            Key("error", "error", optional=True, written=True),
            Key("deadline", "deadline", "moment", optional=True),
            Key("cancel_requested", "cancel_requested", optional=True),
        ),
        "task_run": (
            Key("run", "run", to="run"),
            Key("metrics", "metrics", "json"),
            Key("name", "task_name", optional=True),
            Key("status", "status", optional=True),
        ),
        "connector": (
            Key("name", "name"),
            Key("type", "type"),
            Key("organization", "organization", to="organization", optional=True),
        ),
    }
)
"""Every role with its facts."""

MODEL = "model"
STATUSES = "statuses"
DATABASES = "databases"
ROWS = "rows"
OTHER_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"run": (STATUSES, DATABASES), "task_run": (ROWS,)}
)
"""Keys of a role that name no field."""

REQUIRED = ("pipeline", "run")
"""Roles without which the others mean nothing."""
DEFAULT_ROWS = ("rows_processed",)
"""Where the rows stand in a task run's `metrics`, unless the setting says otherwise."""

ACTIVE = ("pending", "running")
"""Words for a run that has still to end."""
ENDED = tuple(status.value for status in RunStatus)
"""Words for how a run ended: those of the metrics."""
WORDS = (*ACTIVE, *ENDED)
"""Telemetry's words for the status of a run."""
