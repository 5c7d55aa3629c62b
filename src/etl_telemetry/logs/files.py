"""Rotating files that many processes may write at once.

Loaded only through `logging_config(directory=...)`, since it needs the extra `files`.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from concurrent_log_handler import ConcurrentRotatingFileHandler


class RotatingFile(ConcurrentRotatingFileHandler):
    """Write records to a file that is opened, with its directory, at the first record.

    Each record is written under a lock file that all processes share; a file that
    another process has rotated is opened again.
    """

    def __init__(self, *, filename: str, max_bytes: int, backups: int) -> None:
        super().__init__(filename, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")
        self._told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            if self.stream is None:
                Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            self.handleError(record)
        else:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say once, in one line, why nothing is written: the standard handler does it per record.

        On standard error and not by a log call, which from inside a handler
        could wait for a lock that another handler holds.
        """
        reason = sys.exc_info()[1]
        if not isinstance(reason, OSError):
            super().handleError(record)  # Somebody else's formatter.
            return
        if self._told or not logging.raiseExceptions or sys.stderr is None:
            return
        self._told = True
        sys.stderr.write(
            f"etl-telemetry: log file {self.baseFilename!r} cannot be written: {reason}. "
            "Its records are lost. Let this user write there, or give another directory to "
            "logging_config(directory=...).\n"
        )
