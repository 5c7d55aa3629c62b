"""The platform's own tests, run by Django in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SUITE = Path(__file__).parent / "suite"


def test_django_suite_passes(platform: Any) -> None:
    """Every test in `suite/` passes, on an empty data folder and without a Collector."""
    done = platform.run(*platform.command("test", str(SUITE), "--pattern", "suite_*.py"))
    assert done.returncode == 0, done.stderr
    ran = re.search(r"Ran (\d+) tests", done.stderr)
    assert ran is not None
    written = sum(path.read_text().count("    def test_") for path in SUITE.glob("suite_*.py"))
    assert int(ran.group(1)) == written


def test_migrations_are_complete(platform: Any) -> None:
    """No model has changed without its migration."""
    assert "No changes detected" in platform.manage("makemigrations", "--check", "--dry-run")


def test_deployment_check_finds_no_mistake(platform: Any) -> None:
    """Django's own check of the project is silent; without a token it says what that refuses."""
    token = {"ETL_TELEMETRY_ALERT_TOKENS": "a-token-that-is-long-enough"}
    assert "no issues" in platform.manage("check", **token)
    assert "The alert webhook refuses everything" in platform.run(*platform.command("check")).stderr
