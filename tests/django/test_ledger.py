"""The ledger: on both databases, over real processes, requests and kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.host import Host
from support.mariadb import mariadb
from support.postgresql import postgresql

__all__ = ["mariadb", "postgresql"]
SUITES = ("ledger", "ledger_ends", "ledger_leases")


@pytest.mark.parametrize("use_tz", ["true", "false"])
def test_ledger_on_sqlite(tmp_path: Path, use_tz: str) -> None:
    """With aware and with naive times."""
    Host(tmp_path).suite(*SUITES, HOST_USE_TZ=use_tz)


def test_ledger_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    """Where one error would spoil the whole transaction of the host."""
    Host(tmp_path, {"default": postgresql}).suite(*SUITES)


def test_ledger_on_mariadb(tmp_path: Path, mariadb: str) -> None:
    """Where names that differ in capitals or accents only are the same to the database."""
    Host(tmp_path, {"default": mariadb}).suite(*SUITES)
