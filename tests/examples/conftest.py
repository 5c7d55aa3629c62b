"""The example platform for tests: its pure part in this process, all else in processes of its own.

Django stays out of the test process: other tests configure it in their own way.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PLATFORM = Path(__file__).parents[2] / "examples" / "etl_platform"
PATIENCE = 540.0
"""Seconds after which a command is taken for hung; no measure of speed."""

# Appended, so that nothing of the platform wins over an installed package.
sys.path.append(str(PLATFORM))


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform with a data folder of its own."""

    data: Path
    """Its folder."""
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables of its processes, besides the inherited ones."""

    def command(self, *arguments: str) -> list[str]:
        """Return `manage.py` with arguments; warnings are errors as in this process."""
        return [sys.executable, "-W", "error", str(PLATFORM / "manage.py"), *arguments]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of its processes."""
        own = {"ETL_PLATFORM_DATA": str(self.data), "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **own, **self.variables, **(more or {})}

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command,
            cwd=PLATFORM,
            env=self.environment(variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def manage(self, *arguments: str, **variables: str) -> str:
        """Run `manage.py`, which must succeed, and return what it printed."""
        done = self.run(*self.command(*arguments), **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Keep a process running while the block runs, and kill what is left of it then."""
        log = self.data / f"{Path(command[-1]).name}-{len(list(self.data.glob('*.out')))}.out"
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                cwd=PLATFORM,
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, 9)
                    process.wait()


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """Give a platform with an empty data folder."""
    return Platform(tmp_path)


@pytest.fixture(scope="session")
def _seeded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate and seed once, in one process, for all processes of these tests."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    seeded = shared / "seeded"
    with (shared / "seeding").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not seeded.exists():
            template = Platform(tmp_path_factory.mktemp("seeding"))
            template.manage("migrate", "--verbosity", "0")
            template.manage("seed", "--password", "demo")
            template.data.rename(seeded)
    return seeded


@pytest.fixture
def seeded(tmp_path: Path, _seeded_once: Path) -> Platform:
    """Give a platform with the demo user, all pipelines, and no runs."""
    return _copy(_seeded_once, tmp_path / "data")


@pytest.fixture(scope="module")
def seeded_for_module(tmp_path_factory: pytest.TempPathFactory, _seeded_once: Path) -> Platform:
    """Give a seeded platform that the tests of a module share."""
    return _copy(_seeded_once, tmp_path_factory.mktemp("module") / "data")


def _copy(template: Path, data: Path) -> Platform:
    shutil.copytree(template, data, ignore=shutil.ignore_patterns("landing", "logs"))
    # Read by all, written by the incident `schema` only, which replaces its file.
    shutil.copytree(template / "landing", data / "landing", copy_function=os.link)
    return Platform(data)
