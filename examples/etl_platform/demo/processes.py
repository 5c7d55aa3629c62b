"""Start the platform's processes, notice when one dies, and stop all of them, always."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from demo.errors import DemoError

LAST_LINES = 25


@dataclass(frozen=True, slots=True)
class Process:
    """One process that serves until it is told to stop."""

    name: str
    """Name for people, and of its log file."""
    handle: subprocess.Popen[bytes]
    """The leader of its own process group."""
    grace: float
    """Seconds it has for an orderly end."""


class Fleet:
    """All processes of the platform, each in a process group of its own.

    A group of its own keeps Ctrl-C away from them: the terminal sends it to the demo alone,
    which then stops them in the right order.
    """

    def __init__(self, *, folder: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._logs, self._environment = folder, logs, dict(environment)
        self._running: list[Process] = []

    def run(self, name: str, *command: str, timeout: float = 180) -> str:
        """Run a command to its end and return what it printed.

        Raises:
            DemoError: It failed, or did not end in time.
        """
        with (self._logs / f"{name}.log").open("wb") as errors:
            process = self._spawn(command, stdout=subprocess.PIPE, stderr=errors)
            try:
                output, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise DemoError(f"{name} did not end within {timeout:g} s.") from None
            finally:
                _kill_group(process)
        if process.returncode:
            raise DemoError(self._died(name, process.returncode, output.decode()))
        return output.decode()

    def start(self, name: str, *command: str, grace: float = 15) -> None:
        """Start a process that serves; it takes the place of one of its name that has ended."""
        with (self._logs / f"{name}.log").open("ab") as log:
            handle = self._spawn(command, stdout=log, stderr=subprocess.STDOUT)
        self._running = [
            each for each in self._running if each.name != name or each.handle.poll() is None
        ]
        self._running.append(Process(name, handle, grace))

    def check(self) -> None:
        """Notice a process that ended by itself.

        Raises:
            DemoError: One did; the text has the end of its log.
        """
        for process in self._running:
            code = process.handle.poll()
            if code is not None:
                raise DemoError(self._died(process.name, code))

    def stop(self) -> None:
        """Stop every process, the last one started first, and whatever it left behind."""
        while self._running:
            process = self._running.pop()
            with contextlib.suppress(ProcessLookupError):
                process.handle.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.handle.wait(process.grace)
            _kill_group(process.handle)

    def _spawn(
        self, command: tuple[str, ...], *, stdout: int | IO[bytes], stderr: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def _died(self, name: str, code: int, output: str = "") -> str:
        log = self._logs / f"{name}.log"
        text = output + log.read_text(errors="replace")
        last = "\n".join("  | " + line for line in text.splitlines()[-LAST_LINES:])
        return f"{name} ended with exit code {code}. The end of {log}:\n{last}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a process group, its leader included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(
    what: str, happened: Callable[[], bool], fleet: Fleet, *, timeout: float = 240
) -> None:
    """Wait until `happened()` is true.

    Raises:
        DemoError: It did not happen in time, or a process ended meanwhile.
    """
    deadline = time.monotonic() + timeout
    while not happened():
        fleet.check()
        if time.monotonic() > deadline:
            raise DemoError(f"{what} did not happen within {timeout:g} s.")
        time.sleep(0.1)
