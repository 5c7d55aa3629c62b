"""Read the examples of a Markdown page: what to run, what to write, what to expect.

A page reads normally; an HTML comment right before a block, which no reader sees, tells the rest:

* `<!-- file: path -->`: the block is the content of that file.
* `<!-- append: path -->`: the block is added to that file.
* `<!-- output -->`: the block is what the Python block before it prints; `...` matches anything.
* `<!-- not run: reason -->`: the block is shown only, and the tests count it as skipped.

A `python` block is executed; all of a page share one namespace. In a `console` block each line
after `$ ` is a shell command and the lines below it are its output; `$ command &` keeps running
until the page ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).parent.parent.parent
RUN = ("python", "console")

_DIRECTIVE = re.compile(r"^<!--\s*(file|append|output|not run)(?::\s*(.+?))?\s*-->$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    line: int
    """Line of its first line of code, from 1."""
    language: str
    """First word after the fence."""
    code: str
    """Content."""
    directive: str | None = None
    """What the comment before it says: file, append, output, not run."""
    argument: str = ""
    """What stands behind the directive: a path or a reason."""


def pages() -> list[Path]:
    """List every page whose examples must work."""
    docs = REPOSITORY / "docs"
    found = [path for path in docs.rglob("*.md") if "_build" not in path.parts]
    return [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(found)]


def blocks(page: Path) -> list[Block]:
    """Parse a page into its fenced blocks, in order."""
    found: list[Block] = []
    directive: re.Match[str] | None = None
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        if token.type == "html_block":
            directive = _DIRECTIVE.match(token.content.strip())
        elif token.type == "fence":
            kind, argument = directive.groups() if directive else (None, None)
            language = token.info.strip().split(" ")[0]
            line = (token.map or [0])[0] + 2
            found.append(Block(line, language, token.content, kind, argument or ""))
            directive = None
        else:
            directive = None
    return found
