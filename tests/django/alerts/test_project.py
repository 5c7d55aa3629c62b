"""Run the tests in `project` against real databases, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.postgresql import postgresql

__all__ = ["postgresql"]

PATIENCE = 840
"""Seconds: a guard against hangs on a busy machine, no measure."""
pytestmark = pytest.mark.timeout(PATIENCE + 60)
HERE = Path(__file__).parent / "project"
SUPPORT = Path(__file__).parent.parent.parent


def run(folder: Path, database: str, *, use_tz: bool = True) -> None:
    """Run all of them; every warning is an error."""
    command = [
        *(sys.executable, "-m", "pytest", str(HERE), "-q", "-x", "-W", "error", "-c", os.devnull),
        *("--rootdir", str(HERE), "-p", "no:django", "-p", "no:cacheprovider"),
        "--import-mode=importlib",
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), str(SUPPORT)]),
            "ALERTS_DATABASE": database,
            "ALERTS_USE_TZ": str(use_tz),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("use_tz", [True, False], ids=["aware", "naive"])
def test_on_sqlite(use_tz: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """With time zones and without: a project chooses by USE_TZ."""
    run(tmp_path, str(tmp_path / "alerts.sqlite3"), use_tz=use_tz)


def test_on_postgresql(postgresql: str, tmp_path: Path) -> None:
    """As in production."""
    run(tmp_path, postgresql)
