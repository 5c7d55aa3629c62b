"""What can go wrong with a source, and whether trying again may help."""

from __future__ import annotations


class SourceError(Exception):
    """Trying again does not help: somebody has to do something."""


class SourceUnavailable(Exception):
    """Trying again may help."""


class RateLimited(Exception):
    """The source asks to come back later."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after
        """Seconds to wait, as the source said."""
