"""Put something around a method of Django, and take it away again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Wrapped:
    """A method of a class with ours around it.

    Others (Sentry) wrap the same methods. Where one of them stands around ours at the
    end, ours stays below it and hands on to what was there before.
    """

    def __init__(
        self, owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._owner = owner
        self._name = name
        self._before: Callable[..., Any] = getattr(owner, name)
        self._ours = wrap(self._before)
        setattr(owner, name, self._ours)

    def undo(self) -> None:
        """Restore what was there before, if ours is still the outermost."""
        if getattr(self._owner, self._name) is self._ours:
            setattr(self._owner, self._name, self._before)
