"""Show a build that takes minutes: one line that changes on a terminal, few lines in a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

_MOVED = 1.0  # seconds between changes of the line on a terminal
_LOGGED = 30.0  # seconds between lines in a log


@dataclass(kw_only=True)
class Progress:
    """What the person who waits sees."""

    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _label: str = ""
    _begun: float = 0.0
    _shown: float = field(default=float("-inf"))

    def begin(self, label: str) -> None:
        """Start a step."""
        self._label, self._begun = label, self.clock()
        self._show("")

    def tick(self, detail: str) -> None:
        """Tell that the step goes on; `detail` is the last thing that its program said."""
        pause = _MOVED if self.stream.isatty() else _LOGGED
        if self.clock() - self._shown >= pause:
            self._show(detail)

    def say(self, text: str) -> None:
        """Write a line that stays."""
        end = "\n"
        start = "\r\033[K" if self.stream.isatty() else ""
        self.stream.write(f"{start}{text}{end}")
        self.stream.flush()

    def _show(self, detail: str) -> None:
        self._shown = self.clock()
        text = f"{self._label}  {self._shown - self._begun:.0f} s  {detail}".rstrip()
        if not self.stream.isatty():
            self.say(text)
            return
        width = shutil.get_terminal_size().columns - 1
        self.stream.write(f"\r\033[K{text[:width]}")
        self.stream.flush()
