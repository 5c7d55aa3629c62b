"""Every rule does what it says, asked of Prometheus' own tool: `promtool test rules`."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml

from etl_telemetry.ops import rules
from etl_telemetry.ops.rules import Alert
from etl_telemetry.ops.rules.model import DOCS, GRAFANA
from etl_telemetry.ops.thresholds import Thresholds
from support.engines import locate
from support.pages import REPOSITORY
from support.rules import CASES, Case
from support.rules.case import KINDS, labels, selector, series
from support.stack.product import PRODUCT

RULES = sorted((PRODUCT / "prometheus" / "rules").glob("*.yml"))
GROUPS = rules.groups(Thresholds())
ALERTS = {rule.name: rule for group in GROUPS for rule in group.rules if isinstance(rule, Alert)}
GROUP_OF = {name: group.name for group in GROUPS for name in ALERTS if ALERTS[name] in group.rules}
BY_ALERT: dict[str, list[Case]] = defaultdict(list)
for _case in CASES:
    BY_ALERT[_case.alert].append(_case)


def promtool(
    folder: Path, group: str, tests: list[dict[str, object]], *, alert: str | None = None
) -> str:
    """Run unit tests of a group of rules; return what the tool complains of.

    Of the alerts only the one that is asked for is evaluated: days of all take four times as long.
    """
    path, rules_path = folder / "tests.yaml", folder / "rules.yaml"
    content = yaml.safe_load((PRODUCT / "prometheus" / "rules" / f"{group}.yml").read_text())
    (only,) = content["groups"]
    only["rules"] = [rule for rule in only["rules"] if rule.get("alert", alert) == alert]
    rules_path.write_text(json.dumps(content))
    # Days are evaluated every 20 minutes, or a week's case would take a minute.
    every = "20m" if tests[0]["interval"] == "4m" else "1m"
    path.write_text(
        json.dumps({"rule_files": [str(rules_path)], "evaluation_interval": every, "tests": tests})
    )
    done = subprocess.run(
        [str(locate("promtool")), "test", "rules", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


def as_test(case: Case) -> dict[str, object]:
    """Write a case as promtool reads it."""
    alert = ALERTS[case.alert]
    test: dict[str, object] = {
        "name": str(case),
        "interval": case.step,
        "input_series": [{"series": k, "values": v} for k, v in case.series.items()],
    }
    own = {"alertname": alert.name, "severity": alert.severity}
    test["promql_expr_test"] = [
        {
            "expr": f'ALERTS{{alertname="{alert.name}", alertstate="firing"}}',
            "eval_time": case.at,
            "exp_samples": [
                {"labels": selector("ALERTS", {**own, "alertstate": "firing", **fired}), "value": 1}
                for fired in case.firing
            ],
        }
    ]
    if case.summary is not None:
        test["alert_rule_test"] = [
            {
                "alertname": alert.name,
                "eval_time": case.at,
                "exp_alerts": [_expected(alert, case)],
            }
        ]
    return test


def _expected(alert: Alert, case: Case) -> dict[str, object]:
    description = re.sub(r"\{\{ \$value[^}]*\}\}", case.value, alert.description)
    return {
        "exp_labels": {"severity": alert.severity, **case.firing[0]},
        "exp_annotations": {
            "summary": case.summary,
            "description": description,
            "runbook_url": f"{DOCS}/{alert.page}.html",
            "dashboard_url": _dashboard(alert, case.firing[0]),
        },
    }


def _dashboard(alert: Alert, labels: Mapping[str, str]) -> str:
    chosen = {
        "orgId": "1",
        "var-environment": labels.get("deployment_environment_name"),
        "var-organization": labels.get("organization"),
        "var-pipeline": labels.get("pipeline_name"),
    }
    query = urlencode({name: value for name, value in chosen.items() if value is not None})
    return f"{GRAFANA}/d/{alert.dashboard}?{query}"


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_promtool_takes_each_file(path: Path) -> None:
    """Prometheus' own tool finds no mistake in a file of rules."""
    done = subprocess.run(
        [str(locate("promtool")), "check", "rules", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ALERTS)
def test_alert_fires_when_it_should_and_only_then(name: str, tmp_path: Path) -> None:
    """Firing, not firing, missing data, restarts and labels, each at least once; its texts, too."""
    assert {case.kind for case in BY_ALERT[name]} == set(KINDS)
    assert any(case.summary for case in BY_ALERT[name])
    for step in sorted({case.step for case in BY_ALERT[name]}):
        tests = [as_test(case) for case in BY_ALERT[name] if case.step == step]
        assert promtool(tmp_path, GROUP_OF[name], tests, alert=name) == ""


def test_a_wrong_expectation_fails(tmp_path: Path) -> None:
    """The tests above can fail: an alert that is not expected is told."""
    case = next(case for case in CASES if case.firing)
    test = as_test(case)
    test["promql_expr_test"][0]["exp_samples"] = []  # type: ignore[index]
    assert "FAILED" in promtool(tmp_path, GROUP_OF[case.alert], [test], alert=case.alert)


REQUESTS = {"http_request_method": "GET", "http_route": "orders/<id>"}
NAMED = {"method": "GET", "endpoint": "orders/<id>", "status_code": "200"}


def test_old_names_of_requests_show_no_jump_when_an_instance_ends(tmp_path: Path) -> None:
    """Each series is renamed and none is summed: one of two instances ends, the increase stays."""
    source = "http_server_request_duration_seconds_count"
    of = {**REQUESTS, "http_response_status_code": "200"}
    test = {
        "name": "one of two instances ends",
        "interval": "1m",
        "input_series": [
            {"series": series(source, "a", **of), "values": "1000+10x15 stale"},
            {"series": series(source, "b", **of), "values": "1000+10x40"},
        ],
        "promql_expr_test": [
            {
                "expr": "sum(increase(http_requests_total[10m]))",
                "eval_time": "30m",
                "exp_samples": [{"labels": "{}", "value": 100}],
            },
            {
                "expr": "http_requests_total",
                "eval_time": "30m",
                "exp_samples": [
                    {
                        "labels": series("http_requests_total", "b", **of, **NAMED),
                        "value": 1300,
                    }
                ],
            },
        ],
    }
    assert promtool(tmp_path, "http", [test]) == ""


@pytest.mark.parametrize("part", ["bucket", "sum", "count"])
def test_old_names_of_durations_are_the_same_numbers(part: str, tmp_path: Path) -> None:
    """Every part of the histogram is there under its old name, with its own labels."""
    of = {
        **REQUESTS,
        "http_response_status_code": "200",
        **({"le": "1"} if part == "bucket" else {}),
    }
    test = {
        "interval": "1m",
        "input_series": [
            {
                "series": series(f"http_server_request_duration_seconds_{part}", **of),
                "values": "0+1x10",
            }
        ],
        "promql_expr_test": [
            {
                "expr": f"http_request_duration_seconds_{part}",
                "eval_time": "5m",
                "exp_samples": [
                    {
                        "labels": series(f"http_request_duration_seconds_{part}", **of, **NAMED),
                        "value": 5,
                    }
                ],
            }
        ],
    }
    assert promtool(tmp_path, "http", [test]) == ""


RUNBOOKS = REPOSITORY / "docs" / "how-to" / "runbooks"
LAST_HEARD = [
    ("service-down", series("etl_platform_info"), labels(job="etl")),
    ("no-worker-answers", series("celery_worker_up", worker_name="w"), {"worker_name": "w"}),
    ("observer-silent", series("observer_readings_total", observer_source="queues"), labels()),
]


@pytest.mark.parametrize(("page", "source", "whose"), LAST_HEARD)
def test_the_runbook_says_when_a_series_that_has_ended_was_last_heard_of(
    page: str, source: str, whose: dict[str, str], tmp_path: Path
) -> None:
    """Its query is asked forty minutes after the last sample, as somebody does who was woken.

    It is no `promql` block: the lexer of the documentation knows no subquery.
    """
    (query,) = re.findall(r"```text\n(.+?)\n```", (RUNBOOKS / f"{page}.md").read_text(), re.DOTALL)
    test = {
        "interval": "1m",
        "input_series": [{"series": source, "values": "1x10 stale"}],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "50m",
                "exp_samples": [{"labels": selector("", whose), "value": 2400}],
            }
        ],
    }
    assert promtool(tmp_path, "platform", [test]) == ""
