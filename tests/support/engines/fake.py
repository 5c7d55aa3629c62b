"""An engine whose build is a few lines of Python, for the tests of `support.engines`."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

from support.engines.build import build
from support.engines.progress import Progress
from support.engines.recipe import Engine, Step

VERSION = "1.2.3"
# Writes a program that knows its version, as the last step of a build.
LINK = f"""
import pathlib, sys
program = pathlib.Path(sys.argv[1]) / "fake"
program.write_text("#!/bin/sh\\necho fake, version {VERSION}\\n")
program.chmod(0o755)
"""


def program(path: Path, *, says: str) -> Path:
    """Write an executable that prints `says`, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def fake_engine(recipe: Path, **more: str) -> Engine:
    """Return an engine whose steps are `more`, name -> script, and then LINK.

    A script gets the output folder as its argument.
    """
    scripts = {**more, "link": LINK}
    recipe.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (recipe / f"{name}.py").write_text(script)
    return Engine(
        name="fake",
        version=VERSION,
        programs={"fake": "fake"},
        sources={".": recipe},
        steps=tuple(
            Step(name=name, command=("{python}", f"{name}.py", "{output}")) for name in scripts
        ),
        needs={},
        commands={"fake": ("fake", "fake-server")},
    )


def timeless(text: str) -> str:
    """Return `text` with every number of seconds replaced: machines are slow."""
    return re.sub(r"\b\d+ s\b", "N s", text)


def make(engine: Engine, root: Path, *, tools: Mapping[str, str] | None = None) -> tuple[Path, str]:
    """Build `engine` into the cache `root`; return its folder and what was shown, timeless."""
    shown = io.StringIO()
    place = build(engine, root=root, tools=tools or {}, progress=Progress(stream=shown))
    return place, timeless(shown.getvalue())
