"""Build the engines that are missing: `python -m support.engines [NAME...] [--all] [--list]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from support.engines import cache, prebuilt, toolchain
from support.engines.build import build
from support.engines.progress import Progress
from support.engines.recipe import Engine, EngineError
from support.engines.table import ENGINES, engine_of

_NICENESS = 10  # tests run beside a build


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="support.engines", description=__doc__)
    usual = ", ".join(engine.name for engine in ENGINES if engine.default)
    more = ", ".join(engine.name for engine in ENGINES if not engine.default)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"what to build; default: {usual}; also: {more}"
    )
    parser.add_argument("--all", action="store_true", help=f"build everything, {more} included")
    parser.add_argument("--list", action="store_true", help="show what is there, build nothing")
    return parser.parse_args(arguments)


def chosen(names: Sequence[str], *, everything: bool, engines: tuple[Engine, ...]) -> list[Engine]:
    """Return the engines of these names, in the table's order."""
    wanted = [engine_of(name, engines=engines) for name in names]
    return [
        engine
        for engine in engines
        if everything or engine in wanted or (not wanted and engine.default)
    ]


def state(engine: Engine, root: Path) -> str | None:
    """Say where an engine is; None when it must be built."""
    found = [prebuilt.find(program, engine, os.environ) for program in engine.programs]
    ready = [one for one in found if one is not None]
    if len(ready) == len(found):
        return ", ".join(f"{one.path} ({one.version}, from {one.origin})" for one in ready)
    place = root / cache.folder_name(engine)
    return str(place) if place.is_dir() else None


def _show(engines: list[Engine], root: Path) -> int:
    for engine in engines:
        print(f"{engine.name} {engine.version}: {state(engine, root) or 'not built'}")
    return 0


def make(engines: list[Engine], *, root: Path, progress: Progress) -> list[str]:
    """Build what is missing; return what went wrong, an entry for each engine that failed."""
    missing = []
    for engine in engines:
        if (ready := state(engine, root)) is None:
            missing.append(engine)
        else:
            progress.say(f"{engine.name} {engine.version}: {ready}")
    tools = toolchain.find_all(missing, environ=os.environ)
    failures = []
    for engine in missing:
        begun = time.monotonic()
        try:
            place = build(engine, root=root, tools=tools[engine.name], progress=progress)
        except EngineError as error:
            progress.say(str(error))
            failures.append(engine.name)
        else:
            seconds = time.monotonic() - begun
            progress.say(f"{engine.name} {engine.version}: built in {seconds:.0f} s: {place}")
    return failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(arguments)
    root = cache.root(os.environ)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        engines = chosen(options.names, everything=options.all, engines=ENGINES)
        if options.list:
            return _show(engines, root)
        os.nice(_NICENESS)
        failures = make(engines, root=root, progress=Progress(stream=sys.stderr))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on where this one stopped.", file=sys.stderr)
        return 130
    if failures:
        print(f"Not built: {', '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
