"""Run the examples of one page in a process of its own: `python run_page.py PAGE`.

Prints one JSON object: the number of blocks that were run, and the failures. Ports that a page
names are replaced by free ones, so that pages can run beside each other.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from pages import Block, blocks

PORTS = ("4317", "4318", "8000", "6379", "8318")
# Ports that a command takes without being told.
IMPLIED = {"etl-telemetry view": "--port 4318", "manage.py runserver": "8000"}
_CHECK = doctest.OutputChecker()
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_COMMAND_TIMEOUT = 240
"""Seconds: a guard against hangs on a busy machine, no measure."""
_LATE = 60
"""Seconds for which the command after a `sleep` is asked again: a reader would look once more."""
_LISTENS = re.compile(r"(?:--port|runserver) (\d+)")
"""What tells that a command is a server, and where it listens."""


class Page:
    """The running state of one page: its namespace, its ports, its background processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.namespace: dict[str, object] = {"__name__": "__main__"}
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.background: list[subprocess.Popen[bytes]] = []
        self.printed = ""
        self.ran = 0
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{self.ports['4318']}"
        os.environ["PYTHONUNBUFFERED"] = "1"
        os.environ.pop("PYTEST_ADDOPTS", None)  # What is told to this run is not the page's.

    def localize(self, text: str) -> str:
        """Replace the ports that the page names by the free ones."""
        return re.sub(r"\b(" + "|".join(PORTS) + r")\b", lambda m: self.ports[m[1]], text)

    def run(self, block: Block) -> str | None:
        """Run one block; return what is wrong with it."""
        code = block.code
        if block.language == "console":
            code = "".join(f"{line}\n" for line in map(with_port, code.splitlines()))
        code = self.localize(code)
        if block.directive == "not run":
            return None
        if block.directive in ("file", "append"):
            target = Path(block.argument)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("a" if block.directive == "append" else "w") as file:
                file.write(code)
            return None
        if block.directive == "output":
            return difference(code, self.printed)
        if block.language == "python":
            self.ran += 1
            return self.python(block, code)
        if block.language == "console":
            self.ran += 1
            return self.console(code)
        return None

    def python(self, block: Block, code: str) -> str | None:
        """Execute a Python block and keep what it prints."""
        captured = io.StringIO()
        source = "\n" * (block.line - 1) + code
        try:
            with contextlib.redirect_stdout(captured), contextlib.redirect_stderr(captured):
                exec(compile(source, str(self.path), "exec"), self.namespace)  # noqa: S102 -- the page's own code
        except BaseException:  # noqa: BLE001 -- reported as the page's failure
            return captured.getvalue() + traceback.format_exc()
        finally:
            self.printed = captured.getvalue()
        return None

    def console(self, code: str) -> str | None:
        """Run the commands of a console block, each against the output below it."""
        has_slept = False
        for command, expected in commands(code):
            if command.startswith("cd "):
                os.chdir(command.removeprefix("cd ").strip())
                continue
            if command.endswith("&"):
                self.start(command.removesuffix("&").strip())
                continue
            end = time.monotonic() + (_LATE if has_slept else 0)
            while (problem := told(command, expected)) and time.monotonic() < end:
                time.sleep(1)
            if problem:
                return f"$ {command}\n{problem}{self.logs()}"
            has_slept = command.startswith("sleep ")
        return None

    def start(self, command: str) -> None:
        """Start a command that runs until the page ends."""
        log = Path(f".background-{len(self.background)}.log").open("wb")  # noqa: SIM115 -- lives as long as the process
        started = subprocess.Popen(
            ["bash", "-c", command],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.background.append(started)
        if served := _LISTENS.search(command):
            wait_for_server(started, int(served[1]))

    def logs(self) -> str:
        """Collect what the background processes wrote, for a failure's report."""
        files = sorted(Path().glob(".background-*.log"))
        return "".join(f"\n--- {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def stop(self) -> None:
        """Stop the background processes, the youngest first, with all their children."""
        for process in reversed(self.background):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def told(command: str, expected: str) -> str | None:
    """Run one shell command; return what is wrong with it."""
    exit_code, output = run(command)
    if exit_code:
        return f"exit code {exit_code}\n{output}"
    return difference(expected, output) if expected.strip() else None


def run(command: str) -> tuple[int | str, str]:
    """Run one shell command; return its exit code, and all that it printed."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=_COMMAND_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return f"none within {_COMMAND_TIMEOUT} s", process.communicate()[0]
    return process.returncode, output


def wait_for_server(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a server listens, as it does by the time that a reader types the next command."""
    end = time.monotonic() + _COMMAND_TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


def with_port(line: str) -> str:
    """Write down the port that a command takes by itself, so that it can be replaced."""
    for begin, port in IMPLIED.items():
        if line.startswith("$ ") and begin in line:
            return line.replace(begin, f"{begin} {port}")
    return line


def commands(code: str) -> Iterator[tuple[str, str]]:
    """Split a console block into (command, expected output)."""
    command, expected = "", ""
    for line in code.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line[2:], ""
        elif command.endswith("\\"):
            command = command[:-1] + line.strip()
        else:
            expected += line + "\n"
    if command:
        yield command, expected


def difference(expected: str, got: str) -> str | None:
    """Tell how an output differs; `...` in what is expected matches anything."""
    if _CHECK.check_output(expected, got, _FLAGS):
        return None
    return _CHECK.output_difference(doctest.Example("", expected), got, _FLAGS)


def free_ports(count: int) -> list[str]:
    """Find ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


def main() -> None:
    """Run the page; stop at its first failure, since later blocks build on earlier ones."""
    page = Page(Path(sys.argv[1]))
    report = sys.stdout
    failure = None
    begin = time.perf_counter()
    try:
        for block in blocks(page.path):
            if problem := page.run(block):
                failure = f"{page.path}:{block.line}\n{problem}"
                break
    finally:
        page.stop()
    seconds = round(time.perf_counter() - begin, 1)
    report.write(json.dumps({"ran": page.ran, "failure": failure, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
