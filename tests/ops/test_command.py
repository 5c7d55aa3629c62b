"""`etl-telemetry generate`: files with a team's own thresholds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from etl_telemetry.cli import main
from etl_telemetry.errors import ConfigurationError
from etl_telemetry.ops import thresholds


def test_files_are_written_with_the_thresholds_that_were_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number is in the expression and in the sentence; the names of the files are printed."""
    out = tmp_path / "rules"
    words = ["generate", "rules", "--out", str(out), "--set", "queue_size=250"]
    links = ["--runbooks", "https://wiki.example/etl/", "--grafana", "https://grafana.example/"]
    assert main([*words, *links]) == 0
    names = ["pipelines", "tasks", "platform", "telemetry", "slo", "http"]
    assert capsys.readouterr().out == "".join(f"{out / name}.yml\n" for name in names)
    rule = yaml.safe_load((out / "tasks.yml").read_text())["groups"][0]["rules"][0]
    assert rule == {
        "alert": "HighQueueSize",
        "expr": "max by (deployment_environment_name, queue_name) (celery_queue_size)\n> 250",
        "for": "2m",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": 'Queue {{ $labels.queue_name }}: {{ $value | printf "%.0f" }} messages wait',
            "description": "More than 250 messages wait for a worker: workers are gone, too few, "
            "or busy with something long.",
            "runbook_url": "https://wiki.example/etl/high-queue-size.html",
            "dashboard_url": "https://grafana.example/d/etl-celery?orgId=1"
            "{{ with $labels.deployment_environment_name }}"
            "&var-environment={{ . | urlquery }}{{ end }}"
            "{{ with $labels.organization }}&var-organization={{ . | urlquery }}{{ end }}"
            "{{ with $labels.pipeline_name }}&var-pipeline={{ . | urlquery }}{{ end }}",
        },
    }


def test_wrong_thresholds_are_told_all_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, every problem with its fix, and nothing written."""
    words = ["--set", "queue_sizes=3", "--set", "slo_success=2", "--set", "active_runs=many"]
    assert main(["generate", "rules", "--out", str(tmp_path / "out"), *words]) == 2
    assert capsys.readouterr().err == (
        "etl-telemetry: 3 wrong values:\n"
        "  - --set 'queue_sizes' is no threshold. Did you mean 'queue_size'?\n"
        "  - --set slo_success='2' must be a number between 0 and 1.\n"
        "  - --set active_runs='many' must be a number above 0.\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", ""])
def test_a_threshold_is_a_number_above_zero(text: str) -> None:
    """Nothing else makes an alert that can fire and can be quiet."""
    with pytest.raises(ConfigurationError, match="must be a number above 0"):
        thresholds.parse([f"queue_size={text}"])


def test_elasticsearch_keeps_whole_days() -> None:
    """It refuses a template with a part of a day."""
    assert thresholds.parse(["logs_days=1000000"]).logs_days == 1_000_000
    with pytest.raises(ConfigurationError, match="must be a whole number of days"):
        thresholds.parse(["logs_days=0.5"])


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the path, no traceback."""
    (tmp_path / "file").write_text("")
    assert main(["generate", "rules", "--out", str(tmp_path / "file" / "rules")]) == 2
    assert capsys.readouterr().err == f"etl-telemetry: {tmp_path}/file/rules: Not a directory\n"


@pytest.mark.parametrize(
    ("kind", "package"), [("rules", "yaml"), ("dashboards", "grafana_foundation_sdk")]
)
def test_without_its_extra_the_fix_is_told(
    kind: str,
    package: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Three lines with the exact command, and no folder that is empty."""
    for name in list(sys.modules):
        if name.startswith(("etl_telemetry.ops.generate", "etl_telemetry.ops.dashboards", package)):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["generate", kind, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        f"etl-telemetry: etl-telemetry generate needs the package '{package}', "
        "which is not installed.\n"
        "Install it with:\n"
        "    pip install 'etl-telemetry[ops]'\n"
    )
    assert not (tmp_path / "out").exists()
