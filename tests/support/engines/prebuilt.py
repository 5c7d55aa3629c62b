"""Find engines that are there already: named by a variable, or on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from support.engines.recipe import Engine, EngineError

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_PATIENCE = 120  # seconds for `--version` on a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Prebuilt:
    """A program, or a folder of jars, that was not built here."""

    path: Path
    """The executable or the folder."""
    version: str
    """What it says about itself."""
    origin: str
    """The variable's name, or `PATH`."""


def variable(program: str) -> str:
    """Return the name of the variable that gives a prebuilt `program`."""
    return f"ETL_ENGINE_{program.upper()}"


def fits(version: str | None, engine: Engine) -> bool:
    """Return whether `version` agrees with the pinned one in its first two numbers."""
    return version is not None and version.split(".")[:2] == engine.version.split(".")[:2]


def version_of(path: Path, engine: Engine) -> str | None:
    """Return the version of what is at `path`, None when it cannot be told."""
    if engine.version_jar is not None:
        found = map(_VERSION.search, (jar.name for jar in path.glob(engine.version_jar)))
        return next((match.group() for match in found if match), None)
    try:
        return _ask(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache
def _ask(path: Path, modified: int) -> str | None:
    """Run the program with `--version`, once as long as its file stays the same."""
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stdout) or _VERSION.search(done.stderr)
    return match.group() if match else None


def find(program: str, engine: Engine, environ: Mapping[str, str]) -> Prebuilt | None:
    """Return the prebuilt `program` of `engine`, None when there is none that fits.

    Raises EngineError when a variable names one that does not fit: somebody meant it.
    """
    name = variable(program)
    if given := environ.get(name):
        path = Path(given).absolute()
        version = version_of(path, engine)
        if version is None or not fits(version, engine):
            raise EngineError(_refusal(program, engine, path))
        return Prebuilt(path=path, version=version, origin=name)
    for command in engine.commands.get(program, ()):
        if found := shutil.which(command, path=environ.get("PATH", "")):
            version = version_of(Path(found), engine)
            if version is not None and fits(version, engine):
                return Prebuilt(path=Path(found), version=version, origin="PATH")
    return None


def _refusal(program: str, engine: Engine, path: Path) -> str:
    """Say what a variable names, and what it should name."""
    name = variable(program)
    minor = ".".join(engine.version.split(".")[:2])
    wanted = f"{program} {minor}.x is needed (pinned: {engine.version})"
    if not path.exists():
        got = "there is no such file"
    elif (version := version_of(path, engine)) is None:
        got = (
            "its `--version` tells no version"
            if engine.version_jar is None
            else f"there is no {engine.version_jar} in it"
        )
    else:
        got = f"that is version {version}"
    return f"{name}={path}: {got}, but {wanted}.\nFix: name one that fits, or unset {name}."
