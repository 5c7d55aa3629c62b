"""Read CSV files of the landing zone through a file connector."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.connectors.errors import SourceError
from apps.connectors.models import Connector
from etl_telemetry import connector_operation, log_context
from nyc import landing, schema

logger = logging.getLogger(__name__)

BREATH = 0.1
"""Seconds that are worth waiting for."""


@contextmanager
def read_csv(connector: Connector, needed: Sequence[str]) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Open the connector's file: (rows after the header, positions of the `needed` columns).

    Raises `SourceError` when there is no such file and `nyc.schema.SchemaError` when a
    column is missing. A column that the owner of the source renamed can be mapped in
    the connector's options: `{"columns": {"tail_number": "tailnum"}}`. An owner who wants
    to be read gently says how fast there: `{"rows_per_second": 2000}`.
    """
    path = _path(connector)
    with log_context(connector=connector.name), connector_operation("file", "read"):
        logger.debug("source_opened", extra={"path": connector.options["path"]})
        try:
            stream = path.open(encoding="utf-8", newline="")
        except FileNotFoundError as error:
            raise SourceError(
                f"Connector {connector.name!r}: there is no file {connector.options['path']!r} "
                f"in the landing zone {path.parent}. Has the source delivered?"
            ) from error
        with stream:
            rows: Iterator[list[str]] = csv.reader(stream)
            header = next(rows, [])
            renamed = connector.options.get("columns")
            if speed := connector.options.get("rows_per_second"):
                rows = _gently(rows, speed)
            yield rows, schema.positions(header, needed, source=path.name, renamed=renamed)


def count_rows(connector: Connector) -> int:
    """Return how many rows the connector's file has after its header."""
    with _path(connector).open("rb") as stream:
        return sum(1 for _ in stream) - 1


def _path(connector: Connector) -> Path:
    return landing.prepare(settings.DATA_DIR) / connector.options["path"]


def _gently(rows: Iterable[list[str]], rows_per_second: float) -> Iterator[list[str]]:
    """Hand rows on no faster than the owner of the source allows."""
    begin = time.monotonic()
    for number, row in enumerate(rows):
        ahead = number / rows_per_second - (time.monotonic() - begin)
        if ahead > BREATH:
            time.sleep(ahead)
        yield row
