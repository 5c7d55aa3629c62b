"""Rules name what the catalogue has, and the files in `collector/` are what is generated."""

from __future__ import annotations

import re

import pytest

from etl_telemetry.ops import rules
from etl_telemetry.ops.generate import KINDS, Options
from etl_telemetry.ops.rules import Alert
from etl_telemetry.ops.rules.model import DOCS, Recording
from etl_telemetry.ops.thresholds import Thresholds
from support import promql
from support.pages import REPOSITORY
from support.series import TARGET, known

GROUPS = rules.groups(Thresholds())
RULES = [rule for group in GROUPS for rule in group.rules]
RUNBOOKS = REPOSITORY / "docs" / "how-to" / "runbooks"


@pytest.mark.parametrize(
    "rule", RULES, ids=lambda rule: str(getattr(rule, "name", "")) or rule.record
)
def test_every_metric_and_label_of_a_rule_exists(rule: Alert | Recording) -> None:
    """A name that is in no catalogue would be an alert that never fires."""
    metrics = known()
    labels: set[str] = set()
    for selector in promql.selectors(rule.expr):
        assert set(selector.metrics) <= set(metrics)
        for metric in selector.metrics:
            assert selector.labels <= metrics[metric] | TARGET
            labels |= metrics[metric]
    assert promql.grouping(rule.expr) <= labels | TARGET


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_committed_files_are_what_is_generated(kind: object) -> None:
    """Fix: etl-telemetry generate KIND --out collector/FOLDER, as KINDS has them."""
    folder = REPOSITORY / "collector" / kind.folder  # type: ignore[attr-defined]
    files = {path.name: path.read_text() for path in folder.iterdir()}
    made = kind.make(Options(limits=Thresholds(), runbooks=DOCS))  # type: ignore[attr-defined]
    assert files == made


ALERTS = [rule for rule in RULES if isinstance(rule, Alert)]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_what_a_woken_person_needs(alert: Alert) -> None:
    """A summary, a description in sentences, and a runbook that begins with its name."""
    page = (RUNBOOKS / f"{alert.page}.md").read_text()
    assert alert.name in page.partition("\n\n")[0]
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_no_number_is_told_in_a_form_that_nobody_reads(alert: Alert) -> None:
    """Without a form Prometheus writes 1.234567e+06, and people are woken by riddles."""
    assert "{{ $value }}" not in alert.summary + alert.description


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_share_of_events_needs_a_minimum_of_them(alert: Alert) -> None:
    """One failure of one run is 100 %: what is divided by is compared with a number as well."""
    flat = "".join(alert.expr.split())
    for part, whole in promql.divisions(alert.expr):
        assert promql.is_aggregated(part)
        assert promql.is_aggregated(whole)
        if any(
            name.endswith("_total") for each in promql.selectors(whole) for name in each.metrics
        ):
            asked = "".join(whole.prettify().split())
            assert re.search(rf"and{re.escape(asked)}>[\d.]+", flat), asked


def test_up_is_asked_of_what_is_scraped_only() -> None:
    """Who is pushed has no `up`: the one alert that may fire by it looks at a metric as well."""
    by_up = {alert.name for alert in ALERTS if re.search(r"\bup\b", alert.expr)}
    assert by_up == {"ServiceDown", "ObserverSilent", "CollectorDown"}
    metrics = {
        alert.name: {name for each in promql.selectors(alert.expr) for name in each.metrics}
        for alert in ALERTS
        if alert.name in by_up
    }
    assert metrics == {
        "ServiceDown": {"up", "etl_platform_info", "etl_platform_info:minutes:count"},
        "ObserverSilent": {"up", "observer_readings_total"},
        "CollectorDown": {"up"},
    }


def test_every_runbook_belongs_to_an_alert() -> None:
    """A runbook whose alert is gone helps nobody."""
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"index"}
    assert pages == {alert.page for alert in ALERTS}


@pytest.mark.parametrize(
    ("expression", "metrics", "labels", "grouped"),
    [
        ("up", ["up"], [set()], set()),
        ('sum by (a, b) (rate(x{s="1"}[5m]))', ["x"], [{"s"}], {"a", "b"}),
        ('{__name__=~"x_(a|b)_total"}', ["x_a_total", "x_b_total"], [set()], set()),
        ("a / on (i) group_left (j) max(b)", ["a", "b"], [set(), set()], {"i", "j"}),
        ("a unless (max_over_time(b[1d:1m]) or -c)", ["a", "b", "c"], [set()] * 3, set()),
    ],
)
def test_expressions_are_read(
    expression: str, metrics: list[str], labels: list[set[str]], grouped: set[str]
) -> None:
    """Selectors inside of functions, ranges, subqueries, negations and both sides of operators."""
    found = promql.selectors(expression)
    assert [name for selector in found for name in selector.metrics] == metrics
    assert [set(selector.labels) for selector in found] == labels
    assert promql.grouping(expression) == grouped
