"""Run a recipe's steps and put what they made into the cache, whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.engines import cache
from support.engines.prebuilt import version_of
from support.engines.progress import Progress
from support.engines.recipe import Engine, EngineError, Step

_TESTS = Path(__file__).parents[2]
_LAST_LINES = 30
_GRACE = 10  # seconds for an interrupted step to end by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """One build: where it works and what it was given."""

    engine: Engine
    """What is built."""
    partial: Path
    """The folder of the unfinished build, beside its final place."""
    tools: Mapping[str, str]
    """Paths of the tools that the recipe needs."""
    progress: Progress
    """Who is told."""
    lock: int
    """Descriptor of the lock; steps inherit it, so that an orphaned one keeps it."""

    @property
    def output(self) -> Path:
        """The folder that becomes the engine."""
        return self.partial / "engine"

    @property
    def log(self) -> Path:
        """What the steps printed."""
        return self.partial / "log.txt"

    def filled(self, text: str) -> str:
        """Return `text` with its placeholders filled in."""
        work = str(self.partial / "work")
        return text.format(work=work, output=self.output, python=sys.executable, **self.tools)


def build(engine: Engine, *, root: Path, tools: Mapping[str, str], progress: Progress) -> Path:
    """Return the folder of the built engine; build it when it is not there.

    An interrupted build goes on at the step that was interrupted.
    """
    place = root / cache.folder_name(engine)
    root.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        progress.say(f"{engine.name}: another process builds it, waiting")

    with cache.locked(root / f"{place.name}.lock", waiting=waiting) as lock:
        if place.is_dir():
            return place
        building = Building(
            engine=engine,
            partial=root / f"{place.name}.partial",
            tools=tools,
            progress=progress,
            lock=lock,
        )
        _run_steps(building)
        _check(building)
        building.output.rename(place)
        shutil.rmtree(building.partial)
    return place


def _run_steps(building: Building) -> None:
    """Copy the sources and run each step that has not ended well before."""
    work = building.partial / "work"
    for target, origin in cache.source_files(building.engine).items():
        (work / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin, work / target)
    building.output.mkdir(exist_ok=True)
    finished = building.partial / "finished.txt"
    done = finished.read_text().splitlines() if finished.exists() else []
    steps = building.engine.steps
    for number, step in enumerate(steps, start=1):
        if step.name in done:
            continue
        building.progress.begin(f"{building.engine.name} {number}/{len(steps)} {step.name}")
        _run(step, building)
        with finished.open("a") as file:
            file.write(f"{step.name}\n")


def _run(step: Step, building: Building) -> None:
    """Run one step, in a process group of its own that ends when we are interrupted."""
    more = {name: building.filled(value) for name, value in step.environment.items()}
    path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH", "")]))
    command = [building.filled(part) for part in step.command]
    begun = time.monotonic()
    with building.log.open("ab") as log:
        log.write(f"=== {step.name}: {' '.join(command)}\n".encode())
        log.flush()
        try:
            process = subprocess.Popen(
                command,
                cwd=building.partial / "work" / step.folder,
                env={**os.environ, "PYTHONPATH": path, **more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(building.lock,),
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(
                f"{building.engine.name}: step {step.name!r} cannot start {command[0]}: {error}"
            ) from None
    try:
        while process.poll() is None:
            building.progress.tick(_last_line(building.log))
            _wait(process, seconds=0.5)
    finally:
        _end(process)
    if process.returncode != 0:
        raise EngineError(_failure(step, building, process.returncode, time.monotonic() - begun))


def _wait(process: subprocess.Popen[bytes], *, seconds: float) -> bool:
    """Wait for the end of a process; return whether it came in time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a step that still runs, with everything it started."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    if not _wait(process, seconds=_GRACE):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(log: Path) -> str:
    """Return the last line of a log that is being written."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 400))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _failure(step: Step, building: Building, code: int, seconds: float) -> str:
    """Say how a step ended, with the end of its log."""
    lines = building.log.read_text(errors="replace").splitlines()
    own = lines[max(n for n, line in enumerate(lines) if line.startswith("=== ")) :]
    return "\n".join(
        [
            f"{building.engine.name}: step {step.name!r} ended with {code} after {seconds:.0f} s:",
            *(f"    {line}" for line in own[-_LAST_LINES:]),
            f"The whole log: {building.log}",
        ]
    )


def _check(building: Building) -> None:
    """Refuse a build that lacks a program or is not the version that the recipe names."""
    engine = building.engine
    for program, path in engine.programs.items():
        version = version_of(building.output / path, engine)
        if version != engine.version:
            raise EngineError(
                f"{engine.name}: what was built as {program} says version {version},"
                f" the recipe says {engine.version}.\nThe log: {building.log}"
            )
