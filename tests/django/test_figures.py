"""Figures of pipelines: the same on SQLite, PostgreSQL and MariaDB, and those of plain Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.host import Host
from support.mariadb import mariadb
from support.postgresql import postgresql

__all__ = ["mariadb", "postgresql"]


@pytest.mark.parametrize("use_tz", ["true", "false"])
def test_figures_on_sqlite(tmp_path: Path, use_tz: str) -> None:
    """With aware and with naive times."""
    Host(tmp_path).suite("figures", HOST_USE_TZ=use_tz)


@pytest.mark.parametrize("use_tz", ["true", "false"])
def test_figures_on_postgresql(tmp_path: Path, postgresql: str, use_tz: str) -> None:
    """With the percentiles of the server."""
    Host(tmp_path, {"default": postgresql}).suite("figures", HOST_USE_TZ=use_tz)


@pytest.mark.parametrize("use_tz", ["true", "false"])
def test_figures_on_mariadb(tmp_path: Path, mariadb: str, use_tz: str) -> None:
    """Where JSON is text, and a division has four digits."""
    Host(tmp_path, {"default": mariadb}).suite("figures", HOST_USE_TZ=use_tz)


def test_benchmark_measures_what_it_says(tmp_path: Path) -> None:
    """It fills the host's tables and asks for the share of one organization."""
    script = Path(__file__).parents[1] / "benchmarks" / "bench_figures.py"
    done = subprocess.run(
        [sys.executable, str(script), "--runs", "20000", "--output", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "figures.json").read_text())
    assert (facts["runs"], facts["task_runs"], facts["organizations"], facts["pipelines"]) == (
        20_000, 60_000, 50, 2_000,
    )  # fmt: skip
    assert "all figures of one organization" in facts["results"]
