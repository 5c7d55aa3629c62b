"""`.ci/run`: what runs beside what, and each step's outcome is told."""

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
    stack) echo stack >> sessions.txt; echo testing the stack; {stack};;
    *) echo "$2" >> sessions.txt; echo "$2 works"; {others};;
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


def _start(
    clone: Path, *, engines: str = "true", stack: str = "true", others: str = "true"
) -> subprocess.Popen[str]:
    """Start the script; sessions do what the arguments, lines of shell, say."""
    nox = clone / ".venv" / "bin" / "nox"
    nox.parent.mkdir(parents=True)
    nox.write_text(_NOX.format(engines=engines, stack=stack, others=others))
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
    """Return the lines of the summary without times, sorted, Python versions left out."""
    lines = output.split("=== summary\n")[1].splitlines()
    return sorted(re.sub(r" +\d+ s +", " ", line) for line in lines if "python" not in line)


BESIDE = ("lint", "types", "docs", "build", "demo")
ENGINES = "engines (the rest of their time)"


def _wait_for(file: str, text: str) -> str:
    return f"while ! grep -qs {text} {file}; do sleep 0.05; done"


def test_engines_and_computing_run_beside_the_tests_and_the_demo_beside_the_stack(
    clone: Path,
) -> None:
    """Each of two waits for the other: in a row they would wait for ever."""
    process = _start(
        clone,
        engines=f"{_wait_for('sessions.txt', 'demo')}; echo engines >> sessions.txt",
        stack=_wait_for("sessions.txt", "stack-seen"),
        others=f"""case "$2" in
            tests) {_wait_for("sessions.txt", "build")};;
            demo) {_wait_for("sessions.txt", "stack")}; echo stack-seen >> sessions.txt;;
        esac""",
    )

    output = process.communicate(timeout=120)[0]

    sessions = (clone / "sessions.txt").read_text().split()
    assert process.returncode == 0, output
    steps = ("tests", "applications", *BESIDE, ENGINES, "stack")
    assert _summary(output) == sorted(f"ok {name}" for name in steps)
    assert sessions.index("build") < sessions.index("demo")
    assert sessions.index("engines") < sessions.index("stack")
    assert list(clone.glob("etl-telemetry-ci.*")) == []


def test_what_runs_beside_is_shown_in_one_piece(clone: Path) -> None:
    """Its output does not mix with that of the tests."""
    output = _start(clone, stack="sleep 0.5; echo tested").communicate(timeout=120)[0]

    untimed = re.sub(r" +\d+ s +", " ", output)
    assert "testing the stack\ntested\nok stack\n=== beside the tests\n=== lint:" in untimed
    types = "=== types: nice -n 19 .venv/bin/nox -s types\ntypes works\n"
    assert f"lint works\nok lint\n{types}" in untimed
    assert "build works\nok build\n=== beside the stack\n=== demo:" in untimed


def test_step_that_fails_fails_the_run_and_the_others_go_on(clone: Path) -> None:
    """One beside the stack and the stack itself: all names are told, at the end."""
    process = _start(clone, stack="exit 1", others='[ "$2" != docs ]')

    output = process.communicate(timeout=120)[0]

    assert process.returncode == 1
    assert {"FAILED docs", "FAILED stack", "ok build", "ok demo"} < set(_summary(output))
    assert output.splitlines()[-1] in ("failed: docs, stack", "failed: stack, docs")


def test_failed_build_fails_the_run_and_shows_its_log(clone: Path) -> None:
    """A missing tool is a failure: the stack is never skipped in silence."""
    process = _start(clone, engines="echo 'Go 1.26.0 or newer, found: none'; exit 1")

    output = process.communicate(timeout=120)[0]

    assert process.returncode == 1
    assert "building\nGo 1.26.0 or newer, found: none\n" in output
    assert "FAILED engines (the rest of their time)" in _summary(output)
    assert output.endswith("failed: engines (the rest of their time)\n")


@pytest.mark.parametrize("running", ["tests", "stack"])
def test_end_of_the_run_ends_what_is_in_the_background(clone: Path, running: str) -> None:
    """A CI job that is cancelled leaves neither compilers nor steps beside the stack behind."""
    forever = 'echo $$ > "$2.pid"; while :; do sleep 0.1; done'
    beside = ("tests", "lint") if running == "tests" else ("docs", "demo")
    process = _start(
        clone,
        **({"engines": "sleep 600"} if running == "tests" else {"stack": "sleep 600"}),
        others=f'case "$2" in {"|".join(beside)}) {forever};; esac',
    )
    deadline = time.monotonic() + 60
    wanted = [clone / f"{name}.pid" for name in ("engines", *beside)]
    while not all(file.exists() and file.read_text() for file in wanted):
        assert time.monotonic() < deadline, "the steps did not start"
        time.sleep(0.05)

    os.killpg(process.pid, signal.SIGTERM)

    process.communicate(timeout=60)
    while any(_alive(int(file.read_text())) for file in wanted):
        assert time.monotonic() < deadline, "something goes on"
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
