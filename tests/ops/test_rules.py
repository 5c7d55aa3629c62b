"""Rules name what the catalogue has, and the files in `collector/` are what is generated."""

from __future__ import annotations

import pytest

from etl_telemetry import catalogue
from etl_telemetry.ops import rules
from etl_telemetry.ops.generate import KINDS, Options
from etl_telemetry.ops.rules import Alert
from etl_telemetry.ops.rules.model import DOCS, Recording
from etl_telemetry.ops.thresholds import Thresholds
from support import promql
from support.pages import REPOSITORY

GROUPS = rules.groups(Thresholds())
RULES = [rule for group in GROUPS for rule in group.rules]
RECORDED = {rule.record for rule in RULES if isinstance(rule, Recording)}
RUNBOOKS = REPOSITORY / "docs" / "how-to" / "runbooks"

TARGET = {"job", "instance", "deployment_environment_name"}
"""What Prometheus makes of the resource, on every series."""
REQUESTS = {"http_request_method", "http_route", "http_response_status_code"}
FOREIGN = {
    # Prometheus itself.
    "up": set(),
    # OpenTelemetry's semantic conventions for HTTP.
    **{
        f"http_server_request_duration_seconds_{part}": REQUESTS
        for part in ("bucket", "sum", "count")
    },
    # Alertmanager about itself: tests/stack/test_notifications.py asks a real one for it.
    "alertmanager_notifications_failed_total": {"integration", "reason"},
    # The Collector about itself: tests/stack/test_rules.py asks a real one for them.
    "otelcol_exporter_queue_size": {"exporter", "data_type"},
    "otelcol_exporter_queue_capacity": {"exporter", "data_type"},
    **{
        f"otelcol_{what}_{kind}": {"exporter", "receiver"}
        for what in ("exporter_enqueue_failed", "exporter_send_failed", "receiver_refused")
        for kind in ("spans", "metric_points", "log_records")
    },
}
"""Metrics that are not ours, with the labels that rules may use."""


def known() -> dict[str, set[str]]:
    """Return the labels of every series that a rule may name."""
    found = {name: set(labels) for name, labels in FOREIGN.items()}
    for metric in catalogue.METRICS.values():
        labels = {key.replace(".", "_") for key in metric.attributes}
        if metric.kind == "histogram":
            for part in ("bucket", "sum", "count"):
                found[f"{metric.prometheus}_{part}"] = labels | {"le"}
        else:
            found[metric.prometheus] = labels
    return found | {name: set() for name in RECORDED}


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
    """Fix: etl-telemetry generate rules --out collector/prometheus/rules."""
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
