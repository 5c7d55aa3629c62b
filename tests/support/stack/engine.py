"""One real server: start it, know that it is ours and ready, stop it whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from support.stack import ending, ports
from support.stack.patience import PATIENCE
from support.stack.startable import Startable

LAST_LINES = 30


class EngineFailed(RuntimeError):  # noqa: N818 -- what happened
    """An engine did not start, or ended by itself. The message has the end of its log."""


class Engine(Startable):
    """A server that runs as a child of ours, in a process group of its own.

    A subclass says its `name`, its `PORTS`, its `command()` and when it `is_ready()`. Ports and
    folder stay the same for the life of the object: `start()` after `stop()` or `kill()` goes
    on with the same data on the same ports.
    """

    name: ClassVar[str]
    """Name of the engine, of its folder and of its log."""
    PORTS: ClassVar[Mapping[str, int]]
    """What it listens for, each with the port that is usual for it."""
    grace: ClassVar[float] = 30.0
    """Seconds that it has for an orderly end."""

    def __init__(self, folder: Path, *, usual_ports: bool = False) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = ports.choose(self.PORTS, usual=usual_ports)
        self.log = self.folder.with_suffix(".log")
        self.variables: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return how it is started."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Say whether it answers; asked only while it runs and owns its ports."""

    def prepare(self) -> None:
        """Do what has to be done before each start."""

    def after_start(self) -> None:
        """Do what has to be done once it is ready."""

    def for_collector(self) -> dict[str, str]:
        """Return the variables by which the Collector's configuration finds this engine."""
        return {}

    def expected_ports(self) -> set[int]:
        """Return the ports that it listens on when it is ready."""
        return set(self.ports.values())

    def address(self, port: str, *, scheme: str = "http") -> str:
        """Return the URL of one of its ports."""
        return f"{scheme}://127.0.0.1:{self.ports[port]}"

    @property
    def process_id(self) -> int:
        """Return the id of the running process."""
        if self._process is None:
            raise EngineFailed(f"{self.name} was not started.")
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Say whether our process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and wait until it is ready unless told otherwise.

        Raises:
            EngineFailed: It runs already, a port is taken, or it did not become ready.
        """
        if self.is_alive:
            raise EngineFailed(f"{self.name} runs already, as process {self.process_id}.")
        taken = sorted(port for port in self.expected_ports() if not ports.is_free(port))
        if taken:
            raise EngineFailed(f"{self.name} cannot start: somebody else listens on {taken}.")
        self.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ending.with_parent(self.command()),
                cwd=self.folder,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.wait_until_ready() if wait else self

    def wait_until_ready(self, *, timeout: float = PATIENCE) -> Self:
        """Wait until our process owns its ports and answers; another one's answer is none.

        Raises:
            EngineFailed: It ended, or is not ready in time.
        """
        end = time.monotonic() + timeout
        while not (self.owns_ports() and self.is_ready()):
            self.check()
            if time.monotonic() > end:
                raise EngineFailed(self._told(f"was not ready within {timeout:g} s"))
            time.sleep(0.1)
        self.after_start()
        return self

    def check(self) -> None:
        """Notice that it ended by itself.

        Raises:
            EngineFailed: It did; the text has the end of its log.
        """
        if not self.is_alive:
            code = self._process.poll() if self._process else None
            raise EngineFailed(self._told(f"ended with exit code {code}"))

    def owns_ports(self) -> bool:
        """Say whether our process, or a child of it, listens on all of its ports."""
        return self.is_alive and self.expected_ports() <= ports.of_process(self.process_id)

    def terminate(self) -> None:
        """Ask it to end with SIGTERM, and go on: `stop()` waits for it."""
        for number in (signal.SIGTERM, signal.SIGCONT):  # A paused one has to wake up first.
            if self.is_alive:
                os.kill(self.process_id, number)

    def stop(self) -> None:
        """Stop it: SIGTERM, and after its grace SIGKILL to all that is left of it."""
        if self._process is None:
            return
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self.grace)
        self.kill()

    def kill(self) -> None:
        """Kill it and its children at once, with SIGKILL."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """Freeze it with SIGSTOP: connections stay open, and nothing is answered."""
        os.killpg(self.process_id, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on."""
        os.killpg(self.process_id, signal.SIGCONT)

    def restart(self) -> Self:
        """Stop it and start it again, on the same ports with the same data."""
        self.stop()
        return self.start()

    def _told(self, what: str) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return f"{self.name} {what}. The end of {self.log}:\n" + "\n".join(
            "  | " + line for line in lines
        )
