"""The suite runs against real databases, in processes of its own: Django is set up once each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from support import mariadb
from support.postgresql import server

HERE = Path(__file__).parent
SUITE = sorted((HERE / "suite").glob("suite_*.py"))
PATIENCE = 800.0
"""Seconds after which a run is taken for hung; no measure of speed."""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Run a server with the databases of the project."""
    with (
        tempfile.TemporaryDirectory(prefix="etl-audit-") as folder,
        server(Path(folder)) as url,
    ):
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in ("default", "second", "bare"):
                cursor.execute(f"CREATE DATABASE {name}_of_tests")
        connection.close()
        yield url


@pytest.fixture(scope="module")
def mysql() -> Iterator[str]:
    """Run a MariaDB with the databases of the project."""
    names = [f"{name}_of_tests" for name in ("default", "second", "bare")]
    with (
        tempfile.TemporaryDirectory(prefix="etl-audit-") as folder,
        mariadb.server(Path(folder), *names) as url,
    ):
        yield url


def run(suite: Path, folder: Path, url: str) -> None:
    """Run one file of the suite to its end; every test in it must pass."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", str(suite), "-q", "-x", "--import-mode=importlib"),
            *("-c", "/dev/null", "--rootdir", str(folder), "-p", "audit_fixtures"),
            *("-p", "no:cacheprovider", "-p", "no:django", "-W", "error"),
            *("-W", "ignore::ResourceWarning", "-o", "python_files=suite_*.py"),
            # The exporter's thread draws the pauses between its tries.
            *("-W", "ignore:Do not use the `random` module"),
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE / "project"), str(HERE.parents[1])]),
            "FOLDER": str(folder),
            "DATABASE": url,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    written = len(re.findall(r"^def test_", suite.read_text(), re.MULTILINE))
    assert int(passed.group(1)) >= written
    assert "skipped" not in done.stdout


@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", SUITE, ids=lambda path: path.stem)
def test_suite_passes_on_sqlite(suite: Path, tmp_path: Path) -> None:
    """Every test in `suite/` passes on files of SQLite."""
    run(suite, tmp_path, "")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", SUITE, ids=lambda path: path.stem)
def test_suite_passes_on_postgresql(suite: Path, tmp_path: Path, postgresql: str) -> None:
    """Every test in `suite/` passes on a real PostgreSQL."""
    run(suite, tmp_path, postgresql)


@mariadb.needs_mariadb
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "suite",
    [one for one in SUITE if one.stem in {"suite_changes", "suite_concurrency"}],
    ids=lambda path: path.stem,
)
def test_suite_passes_on_mariadb(suite: Path, tmp_path: Path, mysql: str) -> None:
    """What depends on the database passes on a real MariaDB."""
    run(suite, tmp_path, mysql)
