"""Wait for something to become true: the machine is slow and shared, so deadlines are generous."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 120.0
"""Seconds after which what does not happen is taken for broken; no measure of speed."""


def eventually(
    what: str, ask: Callable[[], T], *, timeout: float = PATIENCE, every: float = 0.2
) -> T:
    """Return the first true answer.

    Raises:
        TimeoutError: There was none; the text has the last answer.
    """
    end = time.monotonic() + timeout
    while not (answer := ask()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:g} s; the last answer was {answer!r}")
        time.sleep(every)
    return answer
