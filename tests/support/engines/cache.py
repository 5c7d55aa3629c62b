"""Where built engines are kept: one folder each, named after what it was built from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.engines.recipe import Engine


def root(environ: Mapping[str, str]) -> Path:
    """Return the cache folder: the user's, unless `ETL_ENGINES_CACHE` names another."""
    if own := environ.get("ETL_ENGINES_CACHE"):
        return Path(own).absolute()
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "etl-telemetry" / "engines"


def source_files(engine: Engine) -> dict[str, Path]:
    """Return every file of the recipe, by its path in the work folder."""
    files = {}
    for target, origin in engine.sources.items():
        for file in sorted(origin.rglob("*")) if origin.is_dir() else [origin]:
            if file.is_file():
                path = Path(target) / file.relative_to(origin)
                files[path.as_posix()] = file
    return files


def folder_name(engine: Engine) -> str:
    """Return `<name>-<version>-<hash of the recipe's files, the commands and the platform>`."""
    digest = hashlib.sha256()
    for path, file in sorted(source_files(engine).items()):
        digest.update(f"{path}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    steps = [[s.name, s.command, s.folder, sorted(s.environment.items())] for s in engine.steps]
    place = [sys.platform, platform.machine()]
    digest.update(json.dumps([steps, sorted(engine.programs.items()), place]).encode())
    return f"{engine.name}-{engine.version}-{digest.hexdigest()[:12]}"


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the lock `path`; call `waiting` once when another process has it. Gives its descriptor.

    The lock ends with the last process that has the descriptor open, however it ended.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
