"""The page of questions: each command with the answer that the page prints.

Run against other engines an answer has other ids, times and numbers, and as many entries as there
are; what it is made of is the same.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from support.engines import locate
from support.pages import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "how-to" / "questions.md"
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b")
_USER = re.compile(r"\bos:\w+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Question:
    """One command of the page."""

    line: int
    """Where it is."""
    command: str
    """What is typed."""
    answer: str
    """What the page prints below it."""


def questions() -> list[Question]:
    """Return all of the page."""
    found = []
    for block in blocks(PAGE):
        if block.language == "console":
            lines = block.code.removeprefix("$ ").splitlines()
            # A command goes on in the next line where its line is escaped, or ends with a pipe.
            end = next(n for n, line in enumerate(lines) if not line.endswith(("\\", "|")))
            command, answer = "\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :])
            found.append(Question(block.line, command, answer))
    return found


def ask(command: str, addresses: Mapping[str, str], *, at: float) -> str:
    """Run a command against other addresses than those that it names, as of a Unix time."""
    for usual, address in addresses.items():
        command = re.sub(rf"(?:http://)?\b{re.escape(usual)}\b", address, command)
    promtool = f"{locate('promtool')} query instant --time={at:.3f}"
    command = command.replace("promtool query instant", promtool)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    return done.stdout or done.stderr


def made_of(answer: str) -> set[str]:
    """Return the lines of an answer, without what is different each time."""
    for pattern, name in ((_ID, "ID"), (_USER, "os:USER"), (_NUMBER, "N")):
        answer = pattern.sub(name, answer)
    return {" ".join(line.rstrip(",").split()) for line in answer.splitlines() if line.strip()}
