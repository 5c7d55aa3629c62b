"""The dashboard in the host project: on SQLite and PostgreSQL, with aware and with naive times."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.host import Host
from support.postgresql import postgresql

__all__ = ["postgresql"]

PARTS = ("dashboard", "dashboard_access", "dashboard_place")


@pytest.mark.parametrize("use_tz", ["true", "false"])
def test_dashboard_on_sqlite(tmp_path: Path, use_tz: str) -> None:
    """Pages, API, access, series."""
    Host(tmp_path).suite(*PARTS, HOST_USE_TZ=use_tz)


def test_dashboard_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    """The same, with the percentiles of the server."""
    Host(tmp_path, {"default": postgresql}).suite(*PARTS)


def test_edges_on_sqlite(tmp_path: Path) -> None:
    """Shared names, fields called like ours, odd answers, no organization."""
    Host(tmp_path).suite("dashboard_edges")


def test_edges_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    """The same."""
    Host(tmp_path, {"default": postgresql}).suite("dashboard_edges")
