"""The mapping of the host's models: proven by `check`, and before a process serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.host import Host

WRONG = json.dumps(
    {
        "pipeline": {"model": "work.Flow", "name": "titel", "organization": "team"},
        "run": "work.Execution",
    }
)
SENTENCE = (
    "MODELS['pipeline']['name'] must be the name of a field of work.Flow, got 'titel' "
    "(from ETL_TELEMETRY['MODELS']); did you mean 'title'?"
)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Give a host with one SQLite file."""
    return Host(tmp_path)


def test_mapping_is_resolved_against_real_models(host: Host) -> None:
    """Every mistake has its sentence."""
    host.suite("mapping")


def test_commands_go_on_with_a_wrong_mapping_and_check_warns(host: Host) -> None:
    """`migrate` must never be blocked by us."""
    host.migrate(HOST_MODELS=WRONG)
    done = host.run("manage.py", "check", HOST_MODELS=WRONG)
    assert done.returncode == 0, done.stderr
    assert f"?: (etl_telemetry.W010) {SENTENCE}" in done.stderr


@pytest.mark.parametrize("setting", ['["MODELS"]', '"shop"', '{"MODELS": ["run"]}'])
def test_commands_go_on_with_a_setting_that_is_no_mapping(host: Host, setting: str) -> None:
    """Whatever it is: `migrate` goes on, `check` warns and saving a run works."""
    host.migrate(HOST_SETTING=setting)
    done = host.run("manage.py", "check", HOST_SETTING=setting)
    assert done.returncode == 0, done.stderr
    assert "(etl_telemetry.W001)" in done.stderr
    saved = "from etl_telemetry.django import mapping; print(mapping.usable())"
    shell = host.run("manage.py", "shell", "-v", "0", "-c", saved, HOST_SETTING=setting)
    assert (shell.returncode, shell.stdout) == (0, "False\n"), shell.stderr


def test_right_mapping_is_silent(host: Host) -> None:
    """Nothing to tell."""
    done = host.run("manage.py", "check", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")


def test_process_that_serves_does_not_start_with_a_wrong_mapping(host: Host) -> None:
    """Checks run neither under WSGI nor in Celery: `django.setup()` itself says it."""
    done = host.run("-c", "import django; django.setup()", HOST_MODELS=WRONG)
    assert done.returncode != 0
    assert SENTENCE in done.stderr
    assert "etl_telemetry.errors.ConfigurationError: etl-telemetry: " in done.stderr
