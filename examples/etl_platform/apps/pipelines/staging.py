"""The staging area: what a task hands to the next one, as files by run.

Tasks of a run may be executed by different processes, and a message should not carry
46,000 rows. (On several hosts this folder would be a bucket.)
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings


def folder(run_id: str) -> Path:
    """Return the run's folder, which exists from now on."""
    path = settings.DATA_DIR / "staging" / str(run_id)
    path.mkdir(parents=True, exist_ok=True)
    return path


def discard(run_id: str) -> None:
    """Remove what a run has staged."""
    shutil.rmtree(settings.DATA_DIR / "staging" / str(run_id), ignore_errors=True)


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write a file that appears as a whole or not at all.

    The task may be killed and done again, so the next task must never see half a file.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        yield stream
    partial.replace(path)


@contextmanager
def writing(run_id: str, name: str) -> Iterator[Any]:
    """Open a CSV writer on the run's file `name`."""
    with replacing(folder(run_id) / name) as stream:
        yield csv.writer(stream, lineterminator="\n")


@contextmanager
def reading(run_id: str, name: str) -> Iterator[Any]:
    """Open a CSV reader on the run's file `name`."""
    with (folder(run_id) / name).open(encoding="utf-8", newline="") as stream:
        yield csv.reader(stream)
