"""Find the tools that build and run engines: Go, a JDK, Maven, libzstd."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.engines.recipe import Engine, EngineError, EngineMissing

_NUMBERS = re.compile(r"\d+(\.\d+)*")
_JVM_FOLDERS = ("/usr/lib/jvm/*",)
# Debian's folder first: a machine may have the libraries of another processor beside it.
_LIBRARY_FOLDERS = (f"/usr/lib/{platform.machine()}-linux-gnu", "/usr/lib64", "/usr/lib")
_LIBZSTD = "libzstd.so.1"


@dataclass(frozen=True, slots=True)
class Found:
    """A tool on this machine."""

    path: Path
    """The executable; for a JDK its home, for a library its file."""
    version: str
    """What it says about itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something that a build needs and that this package does not bring."""

    title: str
    """What people call it."""
    find: Callable[[str, Mapping[str, str]], Iterable[Found]]
    """Every one on this machine; gets the version needed and the environment."""
    get: Callable[[str], str]
    """How to get a version of it."""


def _numbers(version: str) -> tuple[int, ...]:
    match = _NUMBERS.search(version)
    return tuple(map(int, match.group().split("."))) if match else ()


def newer(version: str, needed: str) -> bool:
    """Return whether `version` is `needed` or newer."""
    return _numbers(version) >= _numbers(needed)


def _output(*command: str) -> str:
    """Return what a command prints, nothing when it cannot run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _go(needed: str, environ: Mapping[str, str]) -> Iterator[Found]:
    if path := shutil.which("go", path=environ.get("PATH", "")):
        yield Found(Path(path), _output(path, "env", "GOVERSION").strip().removeprefix("go"))


def _maven(needed: str, environ: Mapping[str, str]) -> Iterator[Found]:
    if path := shutil.which("mvn", path=environ.get("PATH", "")):
        match = re.search(r"Apache Maven ([\d.]+)", _output(path, "--version"))
        yield Found(Path(path), match.group(1) if match else "")


def _jdks(needed: str, environ: Mapping[str, str]) -> Iterator[Found]:
    """Yield homes of Java: those that variables name first, then the oldest."""
    named = [environ.get(name, "") for name in (f"JAVA{needed}_HOME", "JAVA_HOME")]
    for home in [*filter(None, named)]:
        yield from _jdk(Path(home))
    installed = [
        found
        for pattern in _JVM_FOLDERS
        for home in sorted(Path("/").glob(pattern[1:]))
        for found in _jdk(home)
    ]
    yield from sorted(installed, key=lambda found: _numbers(found.version))
    if path := shutil.which("java", path=environ.get("PATH", "")):
        yield from _jdk(Path(path).resolve().parents[1])


def _jdk(home: Path) -> Iterator[Found]:
    """Yield the Java at `home` when it has a `release` file, as every JDK does."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return
    match = re.search(r'^JAVA_VERSION="([^"]+)"', release, re.MULTILINE)
    if match and os.access(home / "bin" / "java", os.X_OK):
        yield Found(home, match.group(1))


def _compilers(needed: str, environ: Mapping[str, str]) -> Iterator[Found]:
    """Yield only those that can compile."""
    return (jdk for jdk in _jdks(needed, environ) if (jdk.path / "bin" / "javac").exists())


def _libzstd(needed: str, environ: Mapping[str, str]) -> Iterator[Found]:
    for folder in _LIBRARY_FOLDERS:
        path = Path(folder) / _LIBZSTD
        if path.exists():
            yield Found(path, "1")


TOOLS = {
    "go": Tool(
        title="Go",
        find=_go,
        get=lambda version: (
            f"the Go project's archive go{version}.linux-amd64.tar.gz"
            " (Debian's golang-go, where new enough), its `go` on PATH"
        ),
    ),
    "jdk": Tool(
        title="JDK",
        find=_compilers,
        get=lambda version: (
            f"Debian package openjdk-{version}-jdk, or Temurin's archive OpenJDK{version}U-jdk;"
            f" looked for in JAVA{version}_HOME, JAVA_HOME, /usr/lib/jvm and by `java` on PATH"
        ),
    ),
    "mvn": Tool(
        title="Maven",
        find=_maven,
        get=lambda version: "Debian package maven, its `mvn` on PATH",
    ),
    "libzstd": Tool(
        title="libzstd",
        find=_libzstd,
        get=lambda version: "Debian package libzstd1",
    ),
}


def java(version: int, *, environ: Mapping[str, str] = os.environ) -> Path:
    """Return a `java` of this version or newer; EngineMissing when there is none."""
    needed = str(version)
    for found in _jdks(needed, environ):
        if newer(found.version, needed):
            return found.path / "bin" / "java"
    raise EngineMissing(_missing("jdk", needed, [*_jdks(needed, environ)]))


def find_all(engines: Iterable[Engine], *, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return, for each engine, the path of each tool it needs.

    Raises EngineError that names everything that is missing, at once.
    """
    chosen: dict[str, dict[str, str]] = {}
    wanting: dict[tuple[str, str], list[str]] = {}
    seen: dict[tuple[str, str], list[Found]] = {}
    for engine in engines:
        chosen[engine.name] = {}
        for name, needed in engine.needs.items():
            found = seen.setdefault((name, needed), [*TOOLS[name].find(needed, environ)])
            fit = next((one for one in found if newer(one.version, needed)), None)
            if fit is None:
                wanting.setdefault((name, needed), []).append(engine.name)
            else:
                chosen[engine.name][name] = str(fit.path)
    if wanting:
        lines = [
            f"{_missing(name, needed, seen[name, needed])}\n    for: {', '.join(names)}"
            for (name, needed), names in wanting.items()
        ]
        raise EngineError("Tools are missing to build engines:\n- " + "\n- ".join(lines))
    return chosen


def _missing(name: str, needed: str, found: Iterable[Found]) -> str:
    """Say which version is needed, what there is, and how to get it."""
    tool = TOOLS[name]
    got = ", ".join(f"{one.version or 'no version'} ({one.path})" for one in found) or "none"
    return f"{tool.title} {needed} or newer, found: {got}\n    get: {tool.get(needed)}"
