"""Check the options of `logging_config`: every problem, each with its fix."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

_FILES = ("application", "errors", "audit")
_TEXT = ("environment", "service", "version")


def problems(options: Mapping[str, Any], *, known_handlers: Collection[str]) -> list[str]:
    """Return what is wrong with the options of `logging_config`, one sentence each."""
    found = [*_scalars(options), *_files(options)]
    found.extend(
        _sentence(name, options[name], "a mapping")
        for name in ("levels", "loggers", "handlers", "backups")
        if not isinstance(options[name], (Mapping, type(None)))
    )
    if not found:
        found = [*_levels(options), *_loggers(options, known_handlers), *_handlers(options)]
    return found


def known_level(level: object) -> bool:
    """Tell whether logging knows this level, by name (any case) or by number."""
    if isinstance(level, str):
        return level.upper() in logging.getLevelNamesMapping()
    return isinstance(level, int) and not isinstance(level, bool) and level >= 0


def _sentence(option: str, value: object, allowed: str) -> str:
    return f"{option} must be {allowed}, got {value!r} (from logging_config)"


def _scalars(options: Mapping[str, Any]) -> Iterator[str]:
    for name in _TEXT:
        if not isinstance(options[name], (str, type(None))):
            yield _sentence(name, options[name], "text")
    if options["console"] not in {None, "text", "json"}:
        yield _sentence("console", options["console"], '"text" or "json"')
    if not isinstance(options["allow"], (tuple, list, set, frozenset)):
        yield _sentence("allow", options["allow"], "a tuple of names")


def _files(options: Mapping[str, Any]) -> Iterator[str]:
    directory, files, size = options["directory"], options["files"], options["max_bytes"]
    if not isinstance(directory, (str, os.PathLike, type(None))) or directory == "":
        yield _sentence("directory", directory, "a path")
    if not isinstance(files, (bool, type(None))):
        yield _sentence("files", files, "True, False or None")
    elif files and directory is None:
        yield "files=True needs a directory: logging_config(directory=BASE_DIR / 'logs')"
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        yield _sentence("max_bytes", size, "a number of bytes > 0")
    backups = options["backups"] if isinstance(options["backups"], Mapping) else {}
    for name, count in backups.items():
        if name not in _FILES:
            yield f"backups names {name!r}; the files are {', '.join(_FILES)} (from logging_config)"
        elif not isinstance(count, int) or isinstance(count, bool) or count < 0:
            yield _sentence(f"backups[{name!r}]", count, "a whole number >= 0")


def _levels(options: Mapping[str, Any]) -> Iterator[str]:
    for name, level in (options["levels"] or {}).items():
        if not known_level(level):
            yield _level(f"levels[{name!r}]", level)


def _loggers(options: Mapping[str, Any], known_handlers: Collection[str]) -> Iterator[str]:
    for name, entry in (options["loggers"] or {}).items():
        where = f"loggers[{name!r}]"
        if not isinstance(entry, Mapping):
            if not known_level(entry):
                yield _level(where, entry)
            continue
        if "level" in entry and not known_level(entry["level"]):
            yield _level(f"{where}['level']", entry["level"])
        for handler in entry.get("handlers", ()):
            if handler not in known_handlers:
                near = get_close_matches(str(handler), known_handlers, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                allowed = f"one of {', '.join(sorted(known_handlers))}"
                yield _sentence(f"{where}['handlers']", handler, allowed) + hint


def _handlers(options: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in (options["handlers"] or {}).items():
        if not isinstance(entry, Mapping):
            yield _sentence(f"handlers[{name!r}]", entry, "a handler of dictConfig's schema")


def _level(option: str, value: object) -> str:
    return _sentence(option, value, f"one of {', '.join(logging.getLevelNamesMapping())}")
