"""`nox -s stack -- up`: it tells how to find a run, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from support import questions
from support.pages import REPOSITORY
from support.stack import eventually, shown

LAST = "Ctrl-C stops everything."
README = REPOSITORY / "README.md"


@contextmanager
def _up(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start it; give the process and what it said when everything was ready."""
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.stack", *arguments],
            cwd=REPOSITORY / "tests",
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready() -> bool:
        assert process.poll() is None, said.read_text()
        return LAST in said.read_text()

    try:
        eventually("The stack is up", ready, timeout=300)
        yield process, said.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def _commands(said: str) -> list[str]:
    """Return the `curl` commands of a text, each with the lines that continue it."""
    return [
        re.sub(r"\s*\\\n\s*", " ", command) for command in re.findall(r"curl (?:.*\\\n)*.*", said)
    ]


def _as_in_readme(command: str) -> str:
    """Return a command with neither ports nor ids of its own."""
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", re.sub(r"[0-9a-f]{32}", "ID", command))


def _made_of(answer: str) -> set[str]:
    """Return the lines of an answer without what differs; the README breaks those of JSON."""
    lines = answer.replace("\n", "") if answer.startswith("{") else answer
    return questions.made_of(lines) - {"..."}


def test_up_shows_commands_that_find_the_run(tmp_path: Path) -> None:
    """The commands that it prints, which the README shows, find metrics, log records and trace.

    What the README shows below each of them is in the real answer.
    """
    told = shown.commands(README, about="pipeline_executions_total{pipeline_name=")
    with _up(tmp_path) as (process, said):
        commands = _commands(said)
        assert [_as_in_readme(command) for command in commands] == [
            _as_in_readme(*_commands(command)) for command, _ in told
        ]
        metrics, logs, trace = (
            subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, check=True
            ).stdout
            for command in commands
        )
        for (_, answer), real in zip(told, (metrics, logs, trace), strict=True):
            assert set() != _made_of(answer) <= _made_of(real), real
        family = psutil.Process(process.pid).children(recursive=True)
        folder = Path(re.findall(r"Data and logs: (\S+)", said)[0])
        assert folder.is_dir()
    (series,) = json.loads(metrics)["data"]["result"]
    assert (series["metric"]["status"], series["value"][1]) == ("success", "1")
    # Not by its place: Elasticsearch sorts by the millisecond, in which more is logged.
    assert {'"text":"pipeline_run_started"', '"text":"pipeline_run_finished"'} <= {
        *logs.splitlines()
    }
    assert '1 "name":"pipeline run airports-yv","kind"' in trace
    assert process.returncode == 130
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert not folder.exists()


def test_engines_only_starts_no_platform(tmp_path: Path) -> None:
    """With `--engines-only` it says where an application sends to, and runs none."""
    with _up(tmp_path, "--engines-only") as (process, said):
        family = psutil.Process(process.pid).children(recursive=True)
    assert "    export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:" in said
    assert "Platform" not in said
    assert len(family) == 4
    assert process.returncode == 130
    assert psutil.wait_procs(family, timeout=30)[1] == []
