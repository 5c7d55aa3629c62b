"""The lock of the observer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from etl_telemetry.observer import Alone, FileLead

HOLD = """
import sys
from pathlib import Path
from etl_telemetry.observer import FileLead
lead = FileLead(Path(sys.argv[1]))
print(lead.hold(), flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until it ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_one_process_holds_the_file(tmp_path: Path) -> None:
    """Another one gets it when the first is gone, even where that was killed."""
    lead = FileLead(tmp_path / "lock")
    with holder(tmp_path / "lock") as other:
        assert (lead.hold(), lead.hold()) == (False, False)
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert (lead.hold(), lead.hold()) == (True, True)
    lead.release()
    with holder(tmp_path / "lock") as other:
        assert lead.hold() is False
        other.kill()


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """It outlives its parent here, and must not stand in the way of the next observer."""
    lead = FileLead(tmp_path / "lock")
    assert lead.hold()
    read, write = os.pipe()
    if not (child := os.fork()):
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    lead.release()
    with holder(tmp_path / "lock") as other:
        other.kill()
    os.close(write)
    os.waitpid(child, 0)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """In a shared folder somebody else may have made it."""
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        FileLead(tmp_path / "lock").hold()
    assert not (tmp_path / "victim").exists()


def test_releasing_what_is_not_held_does_nothing(tmp_path: Path) -> None:
    """As `Alone`, whose lead nobody else can have."""
    FileLead(tmp_path / "lock").release()
    alone = Alone()
    alone.release()
    assert (alone.hold(), list(tmp_path.iterdir())) == (True, [])
