"""Read CSV files of the landing zone through a file connector."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from apps.connectors.errors import SourceError
from apps.connectors.models import Connector
from etl_telemetry import connector_operation, log_context
from nyc import landing, schema

logger = logging.getLogger(__name__)


@contextmanager
def read_csv(connector: Connector, needed: Sequence[str]) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Open the connector's file: (rows after the header, positions of the `needed` columns).

    Raises `SourceError` when there is no such file and `nyc.schema.SchemaError` when a
    column is missing. A column that the owner of the source renamed can be mapped in
    the connector's options: `{"columns": {"tail_number": "tailnum"}}`.
    """
    path = landing.prepare(settings.DATA_DIR) / connector.options["path"]
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
            rows = csv.reader(stream)
            header = next(rows, [])
            renamed = connector.options.get("columns")
            yield rows, schema.positions(header, needed, source=path.name, renamed=renamed)
