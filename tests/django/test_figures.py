"""Figures of pipelines: the same on SQLite, PostgreSQL and MariaDB, and those of plain Python."""

from __future__ import annotations

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
