"""Heads of the chain, published where who changes the database does not reach.

A head is the number and the digest of a block: with it, nothing up to that block can be
altered, inserted or removed without being found.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etl_telemetry.catalogue import (
    AUDIT_BLOCK_DIGEST,
    AUDIT_BLOCK_NUMBER,
    AUDIT_BLOCK_ROWS,
    AUDIT_DATABASE,
)
from etl_telemetry.django.audit.models import AuditBlock

_log = logging.getLogger("etl_telemetry.django")


@dataclass(frozen=True, slots=True)
class Head:
    """A published head."""

    number: int
    """Number of the block."""
    digest: str
    """Its digest."""


def log(using: str, block: AuditBlock) -> None:
    """Publish a head in the log stream."""
    _log.info(
        "audit_head",
        extra={
            AUDIT_DATABASE: using,
            AUDIT_BLOCK_NUMBER: block.number,
            AUDIT_BLOCK_DIGEST: block.digest,
            AUDIT_BLOCK_ROWS: block.rows,
        },
    )


def append(file: Path, using: str, block: AuditBlock) -> None:
    """Publish a head as a line of a file, on the disk when this returns."""
    line = {"database": using, "number": block.number, "digest": block.digest}
    with file.open("a", encoding="utf-8") as heads:
        heads.write(json.dumps(line) + "\n")
        heads.flush()
        os.fsync(heads.fileno())


def read(file: Path, using: str) -> Iterator[Head]:
    """Read the heads of one database, in the order in which they were published.

    Raises `ValueError` for a line that is none; the last one may be cut off.
    """
    with file.open(encoding="utf-8") as lines:
        for place, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return
            try:
                told = json.loads(line)
                if told["database"] == using:
                    yield Head(int(told["number"]), str(told["digest"]))
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f"line {place} of {file} is no head: {line.strip()[:200]}"
                ) from None
