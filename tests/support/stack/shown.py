"""Commands that a page shows with their output, asked of engines that run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.pages import blocks

OWN = re.compile(r"[0-9a-f]{16,32}|emitter-[0-9a-f]{8}|\d+(?:\.\d+)?")
"""What differs from run to run: ids, the name of the service, numbers."""


def commands(page: Path, *, about: str) -> list[tuple[str, str]]:
    """Return the commands of the console block that names `about`, each with its output there."""
    (block,) = (
        each.code for each in blocks(page) if each.language == "console" and about in each.code
    )
    found = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        last = next(n for n, line in enumerate(lines) if not line.endswith("\\"))
        command = "\n".join(line.removeprefix("> ") for line in lines[: last + 1])
        found.append((command, "\n".join(lines[last + 1 :]).strip()))
    return found


def answers(page: Path, variables: Mapping[str, str], *, about: str) -> list[tuple[str, str, str]]:
    """Run the commands of the console block that names `about`.

    Returns:
        For each command the line itself, the output that the page shows, and the real one.
    """
    found = []
    for command, output in commands(page, about=about):
        got = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, **variables},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append((command, output, got.stdout.strip()))
    return found


def without_own(text: str) -> str:
    """Return a text with what differs from run to run taken out."""
    return OWN.sub("_", text)
