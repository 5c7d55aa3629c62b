"""Run the tests of a small project in a pytest process of its own, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

CONFTEST = 'pytest_plugins = ["etl_telemetry.testing.pytest_plugin"]\n'


def run_tests(
    folder: Path, *options: str, conftest: str = "", endpoint: str = "", **files: str
) -> subprocess.CompletedProcess[str]:
    """Write the files (`name` is `name.py`) and run pytest in the folder, warnings as errors.

    `endpoint`: where telemetry would go if it left the process.
    """
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(CONFTEST + dedent(conftest))
    for name, text in files.items():
        (folder / f"{name}.py").write_text(dedent(text))
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
            *options,
        ],
        cwd=folder,
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint or "http://127.0.0.1:9",
            "PYTHONPATH": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def assert_passed(done: subprocess.CompletedProcess[str], number: int) -> None:
    """Check that exactly so many tests ran, and all of them passed."""
    last = done.stdout.strip().rpartition("\n")[2]
    assert last.startswith(f"{number} passed"), done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
