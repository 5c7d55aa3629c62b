"""The types of the public surface, as mypy sees them in a user's project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("public_surface.py")


def test_user_code_is_typed(tmp_path: Path) -> None:
    """Decorators keep signatures, results have their types, and mistakes are found."""
    options = ("--strict", "--no-error-summary", "--cache-dir", str(tmp_path))
    # From an empty folder: no configuration of ours, the installed package and its py.typed.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(PAGE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
