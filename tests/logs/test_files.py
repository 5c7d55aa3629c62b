"""Rotating files: many processes write one file, and a file that cannot be written is told once."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from etl_telemetry.logs import JsonFormatter
from etl_telemetry.logs.files import RotatingFile

WRITERS, RECORDS = 4, 300


def _write(filename: str, max_bytes: int, writer: int, inherited: RotatingFile | None) -> None:
    handler = inherited or RotatingFile(filename=filename, max_bytes=max_bytes, backups=50)
    handler.setFormatter(JsonFormatter())
    for number in range(RECORDS):
        handler.handle(logging.makeLogRecord({"msg": "x" * 200, "of": f"{writer}-{number}"}))
    handler.close()


def _all_records(folder: Path) -> list[str]:
    lines = [line for path in folder.glob("app.log*") for line in path.read_text().splitlines()]
    return sorted(json.loads(line)["of"] for line in lines)


@pytest.mark.parametrize("inherit", [False, True], ids=["own handler", "handler over a fork"])
def test_many_processes_write_one_file_while_it_rotates(tmp_path: Path, inherit: bool) -> None:  # noqa: FBT001
    """Every record of every process is there once, whole, over all rotated files."""
    filename = str(tmp_path / "app.log")
    handler = None
    if inherit:
        handler = RotatingFile(filename=filename, max_bytes=50_000, backups=50)
        handler.setFormatter(JsonFormatter())
        handler.handle(logging.makeLogRecord({"msg": "parent", "of": "parent"}))
    fork = multiprocessing.get_context("fork")
    writers = [
        fork.Process(target=_write, args=(filename, 50_000, writer, handler))
        for writer in range(WRITERS)
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join(120)
    assert [process.exitcode for process in writers] == [0] * WRITERS
    expected = [f"{writer}-{number}" for writer in range(WRITERS) for number in range(RECORDS)]
    assert _all_records(tmp_path) == sorted(expected + ["parent"] * inherit)
    assert len(list(tmp_path.glob("app.log*"))) > 2
    if handler is not None:
        handler.close()


def test_the_file_and_its_directory_are_made_at_the_first_record(tmp_path: Path) -> None:
    """Reading the settings leaves nothing behind on the disk."""
    path = tmp_path / "a" / "b" / "app.log"
    handler = RotatingFile(filename=str(path), max_bytes=1_000, backups=1)
    assert not path.parent.exists()
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    handler.close()
    assert path.read_text() == "x\n"


def test_a_directory_that_cannot_be_made_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the fix; the application goes on."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "app.log"
    handler = RotatingFile(filename=str(path), max_bytes=1_000, backups=1)
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "x"}))
    handler.close()
    assert capsys.readouterr().err == (
        f"etl-telemetry: log file {str(path)!r} cannot be written: [Errno 17] File exists: "
        f"'{path.parent}'. Its records are lost. Let this user write there, or give another "
        "directory to logging_config(directory=...).\n"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same for a directory of another user."""
    tmp_path.chmod(0o500)
    handler = RotatingFile(filename=str(tmp_path / "app.log"), max_bytes=1_000, backups=1)
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    handler.close()
    assert "cannot be written: [Errno 13]" in capsys.readouterr().err


def test_nothing_is_told_without_a_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon may have closed it."""
    (tmp_path / "file").write_text("")
    handler = RotatingFile(filename=str(tmp_path / "file" / "app.log"), max_bytes=1_000, backups=1)
    monkeypatch.setattr(sys, "stderr", None)
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    monkeypatch.undo()
    handler.close()
