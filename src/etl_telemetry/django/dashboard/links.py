"""Links to the backends that the project configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from etl_telemetry.config.links import placeholders
from etl_telemetry.django.dashboard import access
from etl_telemetry.pipelines.inputs import given_run_id
from etl_telemetry.pipelines.run import root_context

_OF_RUN = {"run_id", "trace_id"}


@dataclass(frozen=True, slots=True)
class Link:
    """An address and what it leads to."""

    name: str
    """Name for people."""
    url: str
    """Where it leads."""


def to(
    *, pipeline: str, organization: str | None, run: object = None, of_run: bool = False
) -> list[Link]:
    """Return the links of a pipeline and of one of its runs; those of a run need one.

    `of_run`: only those that name the run.
    """
    known: dict[str, str] = {"pipeline": pipeline, "organization": organization or ""}
    run_id = given_run_id(run) if run is not None else None
    if run_id is not None:
        known["run_id"] = run_id
        known["trace_id"] = f"{root_context(run_id).trace_id:032x}"
    # Without a value `/{organization}/logs` would become `//logs`: another host.
    there = {name for name, value in known.items() if value}
    return [
        Link(name, _filled(template, known))
        for name, template in access.config().dashboard_links.items()
        if (named := set(placeholders(template))) <= there and (not of_run or named & _OF_RUN)
    ]


def _filled(template: str, known: Mapping[str, str]) -> str:
    # Quoted as a part of a path or of a query: no value can lead elsewhere.
    return template.format(**{name: quote(value, safe="") for name, value in known.items()})
