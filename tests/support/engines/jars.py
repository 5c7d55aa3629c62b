"""Compare a folder of jars with a list of SHA-256 sums: `python -m support.engines.jars`.

With a list and a folder it checks; with a folder alone it prints the list. A sum of `-` stands for
a jar that the recipe compiles itself.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

BUILT_HERE = "-"


def sums(folder: Path) -> dict[str, str]:
    """Return the sum of each jar below `folder`, by its path."""
    return {
        jar.relative_to(folder).as_posix(): hashlib.sha256(jar.read_bytes()).hexdigest()
        for jar in sorted(folder.rglob("*.jar"))
    }


def problems(*, expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Say everything in which `found` differs from `expected`."""
    missing = [f"missing: {path}" for path in expected.keys() - found.keys()]
    unexpected = [f"unexpected: {path}" for path in found.keys() - expected.keys()]
    changed = [
        f"changed: {path}: SHA-256 is {found[path]}, the recipe's list has {expected[path]}"
        for path in expected.keys() & found.keys()
        if expected[path] not in (BUILT_HERE, found[path])
    ]
    return sorted(missing + unexpected + changed)


def main(arguments: list[str]) -> int:
    """Check or print; return 1 when something differs."""
    *lists, folder = map(Path, arguments)
    found = sums(folder)
    if not lists:
        print("\n".join(f"{total}  {path}" for path, total in found.items()))
        return 0
    lines = (line.split("  ") for line in lists[0].read_text().splitlines())
    expected = {path: total for total, path in lines}
    differences = problems(expected=expected, found=found)
    print("\n".join(differences) or f"{len(found)} jars are those of the recipe")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
