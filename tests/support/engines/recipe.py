"""What an engine is and how it is made: data only, filled in by `table`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class EngineError(Exception):
    """An engine cannot be given; the message says why and what helps."""


class EngineMissing(EngineError):  # noqa: N818 -- the name that tests catch to skip with a reason
    """An engine is neither prebuilt nor in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a build."""

    name: str
    """What it does, in one word; shown while it runs. Unique in its recipe."""
    command: tuple[str, ...]
    """Program and arguments. `{work}` and `{output}` are folders, `{go}`, `{mvn}`, `{jdk}`,
    `{libzstd}` what was found, `{python}` this interpreter."""
    folder: str = "."
    """Where it runs, below the copied recipe."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More variables; values may hold the same placeholders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A real server that the stack needs, and its recipe."""

    name: str
    """The name on the command line and in the cache."""
    version: str
    """The pinned version. A prebuilt one must agree in its first two numbers."""
    programs: Mapping[str, str]
    """What `locate` gives: a name and its path below the built folder."""
    sources: Mapping[str, Path]
    """Files and folders that are copied to be built: path below the work folder, origin."""
    steps: tuple[Step, ...]
    """The build, in order."""
    needs: Mapping[str, str]
    """Tools of `toolchain` and the oldest version that will do."""
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names under which each program is looked for on PATH."""
    version_jar: str | None = None
    """For a folder of jars: pattern of the jar whose name ends with the version. None: a program
    that knows `--version`."""
    default: bool = True
    """Whether it is built when no engine is named."""
