"""Every alert of the rules finds its way, asked of Alertmanager's own tool."""

from __future__ import annotations

import subprocess
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from etl_telemetry.ops import rules
from etl_telemetry.ops.rules import Alert
from etl_telemetry.ops.thresholds import Thresholds
from support.engines import locate
from support.rules import CASES
from support.stack import alerting

PATH = alerting.FOLDER / "alertmanager.yml"
ALERTS = rules.alerts(Thresholds())
WAY = {"critical": "pagerduty,email,platform", "warning": "slack,email,platform"}
"""Receivers by severity, in the order of the routes."""
OPTIONAL = ("pagerduty", "slack", "email")


def amtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Alertmanager's tool."""
    command = [str(locate("amtool")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def way(path: Path, **labels: str) -> str:
    """Return the receivers of an alert."""
    pairs = (f'{name}="{value}"' for name, value in labels.items())
    return amtool("config", "routes", "test", f"--config.file={path}", *pairs).stdout.strip()


def labels_of(alert: Alert) -> dict[str, str]:
    """Return the labels with which an alert fires, as the cases of its rule have them."""
    case = next(case for case in CASES if case.alert == alert.name and case.firing)
    return {"alertname": alert.name, "severity": alert.severity, **case.firing[0]}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_goes_where_its_severity_says(alert: Alert) -> None:
    """Critical to the pager, a warning to Slack, and everything by mail and to the platform."""
    assert way(PATH, **labels_of(alert)) == WAY[alert.severity]


@pytest.mark.parametrize("severity", [{}, {"severity": "info"}])
def test_an_alert_without_a_known_severity_is_told_as_well(severity: dict[str, str]) -> None:
    """A rule of somebody else's that has no severity, or one that we do not know, is not lost."""
    assert way(PATH, alertname="Theirs", **severity) == "email,platform"


@pytest.mark.parametrize(
    "left_out", list(chain(*(combinations(OPTIONAL, number) for number in (1, 2, 3)))), ids="+".join
)
def test_a_channel_is_left_out_by_deleting_what_it_has(
    left_out: tuple[str, ...], tmp_path: Path
) -> None:
    """Of a receiver the name is left: the tool takes it, and the other ways stay the same."""
    config: dict[str, Any] = alerting.without(alerting.CONFIG, *left_out)
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    done = amtool("check-config", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert way(path, severity="critical") == WAY["critical"]


def named(matchers: list[str]) -> set[str]:
    """Return the alerts that matchers name: as `A`, `A|B` or `A(B|C)`."""
    (pattern,) = (text for text in matchers if text.startswith("alertname"))
    names = pattern.partition('"')[2].rstrip('"')
    head, opened, tail = names.partition("(")
    return {head + each for each in tail.rstrip(")").split("|")} if opened else {*names.split("|")}


@pytest.mark.parametrize(
    "rule", alerting.CONFIG["inhibit_rules"], ids=lambda rule: ",".join(rule["source_matchers"])
)
def test_what_silences_what_is_right(rule: dict[str, Any]) -> None:
    """Both exist, a warning silences nothing critical, and both have the labels to compare.

    A label that both lack is equal: then an alert of another environment would be silenced, too.
    """
    alerts = {alert.name: alert for alert in ALERTS}
    sources, targets = named(rule["source_matchers"]), named(rule["target_matchers"])
    assert sources | targets <= set(alerts)
    if {alerts[name].severity for name in sources} != {"critical"}:
        assert {alerts[name].severity for name in targets} == {"warning"}
    for name in sources | targets:
        assert set(rule["equal"]) <= set(labels_of(alerts[name])), name
