"""Prometheus keeps metrics for as long as rules and panels look back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from etl_telemetry.ops import rules
from etl_telemetry.ops.thresholds import Thresholds
from support import grafana, promql
from support.pages import REPOSITORY

COMPOSE = "collector/compose.yaml"
TOLD = (
    "collector/README.md",
    "collector/prometheus/prometheus.yml",
    "docs/how-to/collector.md",
    "docs/how-to/deploy.md",
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", timedelta()),
        ("rate(x[1h30m]) / increase(y[2h])", timedelta(hours=2)),
        ("max_over_time(rate(x[5m] offset 1h)[1d:1m] offset 1w)", timedelta(days=8, minutes=65)),
    ],
)
def test_expressions_look_back(expression: str, expected: timedelta) -> None:
    """Windows and offsets inside of one another add up; beside one another the longest counts."""
    assert promql.lookback(expression) == expected


def kept() -> timedelta:
    """Return how long the Prometheus of compose.yaml keeps metrics."""
    text = (REPOSITORY / "collector" / ".env").read_text()
    (days,) = re.findall(r"^PROMETHEUS_RETENTION=(\d+)d$", text, re.MULTILINE)
    return timedelta(days=int(days))


def asked() -> list[str]:
    """Return the PromQL of rules and panels, with a minute for what a reader chooses."""
    panels = [target.asked["expr"] for target in grafana.targets("prometheus")]
    chosen = dict.fromkeys(grafana.variables_in(panels), "1m")
    own = [rule.expr for group in rules.groups(Thresholds()) for rule in group.rules]
    return own + [grafana.put_in(each, chosen) for each in panels]


def test_metrics_are_kept_longer_than_anything_looks_back() -> None:
    """A month that is kept for 15 days would be called a month, and be half of one."""
    longest = max(map(promql.lookback, asked()))
    assert timedelta(days=30) <= longest < kept()


@pytest.mark.parametrize("page", TOLD)
def test_pages_tell_the_same_flag(page: str) -> None:
    """Who starts Prometheus without compose keeps as much."""
    told = re.findall(r"--storage\.tsdb\.retention\.time=(\d+)d", (REPOSITORY / page).read_text())
    assert [timedelta(days=int(days)) for days in told] == [kept()]


def test_compose_passes_it_on() -> None:
    """As the variable of `.env`."""
    flag = "--storage.tsdb.retention.time=${PROMETHEUS_RETENTION}"
    assert flag in (REPOSITORY / COMPOSE).read_text()
