"""What panels show, asked of Prometheus' own tool, `promtool test rules`: no engine is started."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import grafana
from support.engines import locate
from support.rules.case import labels, selector, series


@dataclass(frozen=True, slots=True)
class Shown:
    """What the first question of a panel shows."""

    panel: str
    """Its dashboard and its title."""
    why: str
    """What happened."""
    given: Mapping[str, str]
    """Samples by series, one a minute."""
    at: str
    """When somebody looks."""
    expected: Mapping[str, float]
    """The numbers, by the labels of their series."""

    def __str__(self) -> str:
        return f"{self.panel}: {self.why}"


_METRICS, _READING = "etl-health/Last metrics", "etl-health/Last reading"
_ETL = selector("", labels(job="etl"))
_ANY = selector("", labels())
CASES = (
    Shown(_METRICS, "an export a minute", {series("etl_platform_info"): "1x60"},
          "30m20s", {_ETL: 20}),
    Shown(_METRICS, "silent for three hours, which is longer than a series is found",
          {series("etl_platform_info"): "1x10"}, "190m", {_ETL: 180 * 60}),
    Shown(_METRICS, "the last of two processes counts",
          {series("etl_platform_info"): "1x10", series("etl_platform_info", "b"): "1x40"},
          "60m", {_ETL: 20 * 60}),
    Shown(_METRICS, "taken away two days ago", {series("etl_platform_info"): "1x10"},
          "48h", {}),
    Shown(_READING, "the observer is gone since two hours",
          {series("active_pipeline_runs"): "0x10"}, "130m", {_ANY: 120 * 60}),
    Shown(_READING, "another one took over",
          {series("active_pipeline_runs"): "0x10",
           series("active_pipeline_runs", "b"): "_x20 3x40"},
          "60m", {_ANY: 0}),
    Shown("etl-celery/Consumers and unacknowledged messages", "as RabbitMQ tells them",
          {series("celery_queue_consumers", "observer", queue_name="a"): "2x10",
           series("celery_queue_consumers", "observer", queue_name="b"): "0x10"},
          "5m", {'{queue_name="a"}': 2, '{queue_name="b"}': 0}),
)  # fmt: skip


def expression(panel: str) -> str:
    """Return the PromQL of a panel's first question, with everything chosen."""
    (target,) = (each for each in grafana.targets("prometheus") if str(each) == f"{panel}/A")
    asked = target.asked["expr"]
    return grafana.put_in(asked, dict.fromkeys(grafana.variables_in(asked), ".*"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_panel_shows_what_happened(case: Shown, tmp_path: Path) -> None:
    """A silence is shown for a day, also when its series are found no more."""
    samples = [{"labels": k, "value": v} for k, v in case.expected.items()]
    asked = {"expr": expression(case.panel), "eval_time": case.at, "exp_samples": samples}
    test = {
        "interval": "1m",
        "input_series": [{"series": k, "values": v} for k, v in case.given.items()],
        "promql_expr_test": [asked],
    }
    path = tmp_path / "tests.yaml"
    path.write_text(json.dumps({"rule_files": [], "tests": [test]}))
    done = subprocess.run(
        [str(locate("promtool")), "test", "rules", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
