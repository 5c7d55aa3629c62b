"""One case of an alert: series that go in, alerts that come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["fires", "quiet", "missing", "restart", "labels"]
KINDS: tuple[Kind, ...] = ("fires", "quiet", "missing", "restart", "labels")
"""Every alert has a case of each kind: fires; quiet below its threshold; data that is missing; a
process that ends and begins again; labels that an alert has, and series that it does not touch."""

LOOK_AT_DAYS = frozenset(
    {
        "PipelineLongRunning",
        "PipelineNotFresh",
        "PipelineDidNotRun",
        "RunBurnRateHigh",
        "RunBurnRateRaised",
        "RunBurnRateSlow",
    }
)
"""In their cases a sample comes every 4 minutes, else every minute: Prometheus finds one for 5."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case."""

    alert: str
    """Name of the alert."""
    kind: Kind
    """What it is about."""
    why: str
    """One sentence: what happens, and what must come of it."""
    series: Mapping[str, str]
    """Samples by series, in Prometheus' own notation: `0+1x30`."""
    at: str
    """When to look, in hours or minutes."""
    firing: tuple[Mapping[str, str], ...] = ()
    """Labels of the alerts that fire then, without name and severity."""
    summary: str | None = None
    """Summary of the first one."""
    value: str = ""
    """How its value is shown in the description."""
    days: bool = False
    """Whether it looks at days, as all cases of some alerts do."""

    @property
    def step(self) -> str:
        """How long it is from one sample to the next."""
        return "4m" if self.days or self.alert in LOOK_AT_DAYS else "1m"

    def __str__(self) -> str:
        return f"{self.alert}: {self.kind}: {self.why}"


def labels(**given: str) -> dict[str, str]:
    """Return the labels of an alert in production."""
    return {"deployment_environment_name": "production", **given}


def series(name: str, instance: str = "a", **given: str) -> str:
    """Return a series in production, as an OTLP push makes it."""
    return selector(name, {"job": "etl", "instance": instance, **labels(), **given})


def selector(name: str, pairs: Mapping[str, str]) -> str:
    """Return a series in Prometheus' own notation."""
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"
