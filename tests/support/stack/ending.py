"""Engines end with the process that started them, whatever ends that one."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
"""Exit code of what was told to end."""
_PR_SET_PDEATHSIG = 1


def in_good_order() -> None:
    """Let Ctrl-C, SIGTERM, SIGHUP and the end of our parent raise `KeyboardInterrupt` here.

    So `with` blocks stop their engines. nox, for instance, forwards no SIGTERM. To be called in the
    main thread.
    """
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # It ended before we had asked to be told.
            os.kill(os.getpid(), signal.SIGTERM)


def with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that is killed when the thread that started it ends, by SIGKILL too.

    By util-linux' `setpriv`, which becomes the command: the same process. Without it (macOS) only
    an orderly end ends the engines.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End in good order; a second signal must not leave half of it running."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
