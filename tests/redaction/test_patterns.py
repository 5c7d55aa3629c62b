"""Every pattern of the package means the same on every Python that it runs on."""

from __future__ import annotations

import re

import pytest

from support.pages import REPOSITORY

POSSESSIVE_GROUP = re.compile(r"(?<!\\)[)}]\s*(?:[*+?]|\{+[\d,]+\}+)\+")
"""A brace ends what an f-string puts in, which may be a group."""


@pytest.mark.parametrize(
    "pattern", [r"(?:a|b)*+", r"(?:ab)++", r"(ab)?+", r"(?:ab){0,3}+", "(ab) *+", "{_ROW}++"]
)
def test_a_possessive_group_is_seen(pattern: str) -> None:
    """However it is repeated; what is one character is no group, and an atomic group is right."""
    assert POSSESSIVE_GROUP.search(pattern)
    assert not POSSESSIVE_GROUP.search(r"[^*/]++ \d{2}+ \)++ (?>(?:[^a]++|b)*)")


def test_no_group_is_repeated_possessively() -> None:
    """`(?:...)*+` matches wrongly before Python 3.11.5: a secret in a comment was left."""
    # Debian 12 has 3.11.2. python/cpython#106052; this goes when no such Python is supported.
    files = (REPOSITORY / "src").rglob("*.py")
    wrong = {
        f"{file.name}:{number}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if not line.lstrip().startswith("#") and POSSESSIVE_GROUP.search(line)
    }
    assert sorted(wrong) == []
