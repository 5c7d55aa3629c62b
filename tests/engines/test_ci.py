"""`.ci/run`: engines build beside the other steps, and what happens to them is told."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.pages import REPOSITORY

# Stands for nox: what it is asked for decides what it does.
_NOX = """#!/bin/sh
case "$2" in
    engines) echo $$ > engines.pid; echo building; {engines};;
    *) echo "$2" >> sessions.txt; {others};;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Give a folder with the script, a README and an environment that is there already."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(REPOSITORY / ".ci" / "run", tmp_path / ".ci" / "run")
    command = "python3 -m venv --help >/dev/null && true && .venv/bin/nox -s tests"
    (tmp_path / "README.md").write_text(f"{command}\n")
    return tmp_path


def _start(clone: Path, *, engines: str, others: str = "true") -> subprocess.Popen[str]:
    """Start the script; sessions do what the arguments, lines of shell, say."""
    nox = clone / ".venv" / "bin" / "nox"
    nox.parent.mkdir(parents=True)
    nox.write_text(_NOX.format(engines=engines, others=others))
    nox.chmod(0o755)
    return subprocess.Popen(
        ["bash", ".ci/run"],
        cwd=clone,
        env={**os.environ, "TMPDIR": str(clone)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _summary(output: str) -> list[str]:
    """Return the lines of the summary without times, Python versions left out."""
    lines = output.split("=== summary\n")[1].splitlines()
    return [re.sub(r" +\d+ s +", " ", line) for line in lines if "python" not in line]


def test_stack_is_tested_after_everything_else_with_engines_built_meanwhile(clone: Path) -> None:
    """The tests of the stack begin when the build in the background has ended."""
    wait = "while [ ! -e sessions.txt ]; do sleep 0.05; done; echo engines >> sessions.txt"
    process = _start(clone, engines=wait, others="sleep 0.2")

    output = process.communicate(timeout=120)[0]

    sessions = (clone / "sessions.txt").read_text().split()
    assert process.returncode == 0, output
    assert _summary(output) == [
        *(f"ok {name}" for name in ("tests", "lint", "types", "docs", "build", "demo")),
        "ok engines (the rest of their time)",
        "ok stack",
    ]
    assert sessions.index("engines") < sessions.index("stack") == len(sessions) - 1
    assert list(clone.glob("*.log")) == []


def test_failed_build_fails_the_run_and_shows_its_log(clone: Path) -> None:
    """A missing tool is a failure: the stack is never skipped in silence."""
    process = _start(clone, engines="echo 'Go 1.26.0 or newer, found: none'; exit 1")

    output = process.communicate(timeout=120)[0]

    assert process.returncode == 1
    assert "building\nGo 1.26.0 or newer, found: none\n" in output
    assert "FAILED engines (the rest of their time)" in _summary(output)
    assert output.endswith("failed: engines (the rest of their time)\n")


def test_end_of_the_run_ends_the_build(clone: Path) -> None:
    """A CI job that is cancelled leaves no compilers behind."""
    process = _start(clone, engines="sleep 600", others="while :; do sleep 0.1; done")
    deadline = time.monotonic() + 60
    while not (clone / "sessions.txt").exists() or not (clone / "engines.pid").exists():
        assert time.monotonic() < deadline, "the steps did not start"
        time.sleep(0.05)
    build = int((clone / "engines.pid").read_text())

    os.killpg(process.pid, signal.SIGTERM)

    process.communicate(timeout=60)
    while _alive(build):
        assert time.monotonic() < deadline, "the build goes on"
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
