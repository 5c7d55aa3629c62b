"""Prometheus rules as values, and as the dictionaries that their files hold."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]

DOCS = "https://etl-telemetry.readthedocs.io/en/latest/how-to/runbooks"
"""Where the runbooks are; `generate rules --runbooks URL` names another place."""
GRAFANA = "http://localhost:3000"
"""Where Grafana is; `generate rules --grafana URL` names another place."""
WHOLE = '{{ $value | printf "%.0f" }}'
"""The value as a whole number: without a form, Prometheus writes a million as 1e+06."""
NO_COLLECTOR = """unless on ()
  min_over_time(max(up{job="collector"})[5m:1m]) == 0"""
"""For alerts on what is not told any more: without a Collector nobody can tell, which is one alert
of its own, and all need some minutes to be back. One of several that is down changes nothing."""
_CHOSEN = "".join(
    f"{{{{ with $labels.{label} }}}}&var-{variable}={{{{ . | urlquery }}}}{{{{ end }}}}"
    for variable, label in (
        ("environment", "deployment_environment_name"),
        ("organization", "organization"),
        ("pipeline", "pipeline_name"),
    )
)
"""What a dashboard is to show: variables of the dashboards, by the labels that the alert has."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: when it fires, and what a person reads."""

    name: str
    """CamelCase name; its runbook is the page with the same name in kebab-case."""
    expr: str
    """PromQL; fires for each series of its result."""
    summary: str
    """One line with the labels that matter, as a template of Prometheus."""
    description: str
    """What is wrong, with the value in a form that people read, and what follows from it."""
    severity: Severity = "warning"
    """`critical` wakes somebody, `warning` is read in the morning."""
    wait: str = "5m"
    """How long the condition must hold: the rule's `for`."""
    keep: str | None = None
    """How long it fires on after the condition is gone: `keep_firing_for`."""
    dashboard: str = "etl-overview"
    """Unique id of the dashboard that shows it."""
    runbook: str | None = None
    """Page of its runbook, where several alerts share one."""

    @property
    def page(self) -> str:
        """Return the name of its runbook.

        >>> Alert("TaskLost", "vector(1)", "s", "d").page
        'task-lost'
        """
        return self.runbook or re.sub(r"(?<!^)(?=[A-Z])", "-", self.name).lower()

    def as_rule(self, runbooks: str, grafana: str) -> dict[str, object]:
        """Return the rule as Prometheus reads it."""
        rule: dict[str, object] = {"alert": self.name, "expr": _text(self.expr), "for": self.wait}
        if self.keep is not None:
            rule["keep_firing_for"] = self.keep
        rule["labels"] = {"severity": self.severity}
        rule["annotations"] = {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"{runbooks}/{self.page}.html",
            "dashboard_url": f"{grafana}/d/{self.dashboard}?orgId=1{_CHOSEN}",
        }
        return rule


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded series."""

    record: str
    """Name of the series."""
    expr: str
    """PromQL."""

    def as_rule(self, runbooks: str, grafana: str) -> dict[str, object]:  # noqa: ARG002 - as an alert
        """Return the rule as Prometheus reads it."""
        return {"record": self.record, "expr": _text(self.expr)}


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, one after the other."""

    name: str
    """Name of the group and of its file."""
    rules: tuple[Alert | Recording, ...]
    """Its rules."""
    interval: str | None = None
    """How often it is evaluated; None: as often as the server's default says."""

    def as_file(self, runbooks: str, grafana: str) -> dict[str, object]:
        """Return the file of the group as Prometheus reads it."""
        group: dict[str, object] = {"name": self.name}
        if self.interval is not None:
            group["interval"] = self.interval
        group["rules"] = [rule.as_rule(runbooks, grafana) for rule in self.rules]
        return {"groups": [group]}


def _text(expr: str) -> str:
    return textwrap.dedent(expr).strip()


def number(value: float) -> str:
    """Return a threshold as PromQL and people write it.

    >>> number(10.0), number(0.05)
    ('10', '0.05')
    """
    return f"{value:g}"


def percent(value: float) -> str:
    """Return a share as people read it.

    >>> percent(0.1)
    '10 %'
    """
    return f"{value * 100:g} %"


def span(hours: float) -> str:
    """Return hours as PromQL writes a range, to the minute.

    >>> span(26.0), span(1.5)
    ('26h', '90m')
    """
    return f"{hours:.0f}h" if hours.is_integer() else f"{hours * 60:.0f}m"
