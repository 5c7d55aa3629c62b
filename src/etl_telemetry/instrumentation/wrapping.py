"""Put ours around what is another library's, and take it away again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def replace(
    target: Any, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], None]:
    """Put ``around`` around a method of a class; return how to undo it."""
    original = getattr(target, name)
    ours = around(original)
    setattr(target, name, ours)

    def undo() -> None:
        if getattr(target, name) is ours:
            setattr(target, name, original)

    return undo


def all_of(undos: list[Callable[[], None]]) -> Callable[[], None]:
    """Return how to undo all of them, the last one first: what is around another goes before it."""

    def undo() -> None:
        for one in reversed(undos):
            one()

    return undo
