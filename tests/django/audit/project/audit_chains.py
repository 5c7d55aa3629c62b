"""What the suites of the chain share: a drainer, the stream that it writes, chained rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from etl_telemetry import audit
from etl_telemetry.django.audit import heads
from etl_telemetry.django.audit.drain import Drainer
from etl_telemetry.django.audit.verify import Verification
from etl_telemetry.django.models import AuditBlock

RIGHT: list[str] = []


class Keeper(logging.Handler):
    """Keep what the audit logger was given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.records.append(record)

    def uids(self) -> list[str]:
        """Return the ids of the events, in order."""
        return [vars(record)["log.record.uid"] for record in self.records]


@pytest.fixture
def stream() -> Iterator[Keeper]:
    """Give the audit stream."""
    keeper, logger = Keeper(), logging.getLogger("etl_telemetry.audit")
    logger.addHandler(keeper)
    yield keeper
    logger.removeHandler(keeper)


def write(*numbers: int) -> None:
    """Write some events."""
    for number in numbers:
        audit.record("done", actor=7, resource={"type": "thing", "id": number})


def drainer(**options: Any) -> Drainer:
    """Return a drainer whose deliveries succeed."""
    return Drainer(**{"flush": lambda: True, **options})


def problems(*published: heads.Head) -> list[str]:
    """Verify."""
    return list(Verification("default", published).problems())


def blocks(*sizes: int) -> None:
    """Write and chain blocks of some sizes."""
    number = 0
    for size in sizes:
        write(*range(number, number + size))
        number += size
        drainer().drain("default")


def head() -> heads.Head:
    """Return the last head."""
    last = AuditBlock.objects.latest("number")
    return heads.Head(last.number, last.digest)


@pytest.fixture
def chained() -> None:
    """Chain eight rows in four blocks; two more wait."""
    blocks(3, 1, 2, 2)
    write(8, 9)
