"""Who reports: one lock that one observer holds, so that a second one waits and takes over."""

from __future__ import annotations

import fcntl
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol


class Lead(Protocol):
    """The lock that makes one observer the reporter. One thread calls it."""

    @property
    def ttl(self) -> float:
        """Seconds that one `hold` is good for: afterwards another observer may have it."""

    def hold(self) -> bool:
        """Take the lock, or confirm that it is still ours; never wait for another observer."""

    def release(self) -> None:
        """Give it back."""


class Alone:
    """No lock: for who knows that there is no other observer.

    >>> Alone().hold()
    True
    """

    ttl = math.inf

    def hold(self) -> bool:
        """Return True."""
        return True

    def release(self) -> None:
        """Do nothing."""


class FileLead:
    """A locked file: one observer for each host, or for each file system that knows locks.

    The system takes the lock back when its process is gone, however it ended.

    Raises `OSError` from `hold` where the file cannot be made or is another user's.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lead = FileLead(Path(folder) / "observer.lock")
    ...     held = lead.hold()
    ...     lead.release()
    >>> held
    True
    """

    ttl = math.inf

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def hold(self) -> bool:
        """Lock the file."""
        if self._file is not None:
            return True
        # A link that somebody put into a shared folder is not followed.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        # `lockf`, not `flock`: a forked child would hold the latter beyond our end.
        with suppress(BlockingIOError, PermissionError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = file
            return True
        os.close(file)
        return False

    def release(self) -> None:
        """Unlock it. The file stays: another observer may wait at it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
