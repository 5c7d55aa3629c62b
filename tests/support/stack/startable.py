"""What is started and stopped, as a block of code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Startable(ABC):
    """A `with` block starts it and stops it; a start that fails half-way leaves nothing behind."""

    @abstractmethod
    def start(self) -> Self:
        """Start all of it."""

    @abstractmethod
    def stop(self) -> None:
        """Stop what runs of it; may be called at any time, also twice."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
