"""`logging_config()`: the dictionary that a project gives to `LOGGING` or `dictConfig`."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from etl_telemetry.catalogue import AUDIT_SCOPE, SCOPE, UNKNOWN
from etl_telemetry.errors import ConfigurationError, MissingExtraError
from etl_telemetry.logs.checks import known_level, problems

MAX_BYTES = 50 * 1024 * 1024
"""Size at which a file is rotated, in bytes."""
BACKUPS: Mapping[str, int] = {"application": 10, "errors": 10, "audit": 20}
"""Rotated files that are kept of each file."""
DEVELOPMENT = frozenset({"development", "dev", "local", "test", "testing"})
"""Environments whose console shows text for people; all others show JSON."""

_EVERYWHERE = ("console", "application", "errors")
# `django` and `celery` propagate: the root logger's console shows their records, and one of their
# own would show them twice. Celery itself stops the propagation of `celery.task`.
_LOGGERS: Mapping[str, tuple[str, tuple[str, ...], bool]] = {
    "django": ("INFO", ("application", "errors"), True),
    "apps": ("INFO", _EVERYWHERE, False),
    "apps.connectors": ("INFO", _EVERYWHERE, False),
    "apps.pipelines": ("INFO", _EVERYWHERE, False),
    "celery": ("INFO", ("application", "errors"), True),
    "celery.task": ("INFO", _EVERYWHERE, False),
    "audit": ("INFO", ("audit",), False),
    "security": ("WARNING", ("console", "errors"), False),
    SCOPE: ("INFO", ("application", "errors"), True),
    AUDIT_SCOPE: ("INFO", ("audit",), False),
}


def logging_config(
    *,
    environment: str | None = None,
    service: str | None = None,
    version: str | None = None,
    console: Literal["text", "json"] | None = None,
    directory: str | os.PathLike[str] | None = None,
    files: bool | None = None,
    levels: Mapping[str, str | int] | None = None,
    loggers: Mapping[str, str | int | Mapping[str, Any]] | None = None,
    handlers: Mapping[str, Mapping[str, Any]] | None = None,
    max_bytes: int = MAX_BYTES,
    backups: Mapping[str, int] | None = None,
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`, or for Django's `LOGGING`.

    Reads the environment when it is called: `ENVIRONMENT`, `OTEL_SERVICE_NAME`,
    `DJANGO_LOG_LEVEL` (level of `django`) and `DEBUG_CONNECTORS` (set to anything:
    `apps.connectors` logs at DEBUG). The result is a plain dictionary: what no
    option covers can be changed in it.

    Args:
        environment: Name of the deployment; default `ENVIRONMENT`, else "development".
        service: Name of the service in JSON records; default `OTEL_SERVICE_NAME`.
        version: Its version; default the content of `VERSION` in the working directory.
        console: "text" or "json"; default text in development, JSON elsewhere.
        directory: Where `application.log`, `errors.log` and `audit.log` go; None for no
            files: what would go there is on the console. Made at the first record.
        files: False leaves the files out although there is a directory.
        levels: Name of a logger ("root" for the root logger) -> level, over the defaults.
        loggers: Further loggers: name -> level, or -> a logger of dictConfig's schema. By
            default they write to the console and to both files, and do not propagate.
        handlers: Further handlers of dictConfig's schema, or changes to the ones here.
        max_bytes: Size in bytes at which a file is rotated.
        backups: "application", "errors" or "audit" -> number of rotated files kept.
        allow: Names of the redaction's allow-list.

    Raises:
        ConfigurationError: Options are wrong; it lists all of them.
        MissingExtraError: A directory was given and concurrent-log-handler is missing.

    >>> config = logging_config(environment="production", levels={"apps": "DEBUG"})
    >>> config["handlers"]["console"]["formatter"], config["loggers"]["apps"]["level"]
    ('json', 'DEBUG')
    """
    wrong = problems(locals(), known_handlers={"console", *BACKUPS, *(handlers or {})})
    if wrong:
        raise ConfigurationError(wrong)
    environment = environment or os.environ.get("ENVIRONMENT") or "development"
    folder = Path(directory) if directory is not None and files is not False else None
    outputs = _handlers(
        console=console or ("text" if environment.lower() in DEVELOPMENT else "json"),
        folder=folder,
        max_bytes=max_bytes,
        backups={**BACKUPS, **(backups or {})},
    )
    for name, change in (handlers or {}).items():
        outputs[name] = {**outputs.get(name, {}), **change}
    entries = _loggers(levels or {}, loggers or {}, available=set(outputs))
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": "etl_telemetry.logs.TextFormatter"},
            "json": _json_formatter(environment, service, version, allow),
        },
        "handlers": outputs,
        "root": entries.pop("root"),
        "loggers": entries,
    }


def _json_formatter(
    environment: str, service: str | None, version: str | None, allow: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "()": "etl_telemetry.logs.JsonFormatter",
        "environment": environment,
        "service": service or os.environ.get("OTEL_SERVICE_NAME") or UNKNOWN,
        "version": version or _version_file(),
        "allow": tuple(allow),
    }


def _handlers(
    *, console: str, folder: Path | None, max_bytes: int, backups: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    outputs: dict[str, dict[str, Any]] = {
        "console": {"class": "logging.StreamHandler", "formatter": console}
    }
    if folder is None:
        return outputs
    if importlib.util.find_spec("concurrent_log_handler") is None:
        raise MissingExtraError(
            extra="files",
            needed_for="logging_config(directory=...)",
            missing="concurrent-log-handler",
        )
    for name in BACKUPS:
        outputs[name] = {
            "()": "etl_telemetry.logs.files.RotatingFile",
            "filename": str(folder.absolute() / f"{name}.log"),
            "max_bytes": max_bytes,
            "backups": backups[name],
            "formatter": "json",
            "level": "ERROR" if name == "errors" else "NOTSET",
        }
    return outputs


def _loggers(
    levels: Mapping[str, str | int],
    further: Mapping[str, str | int | Mapping[str, Any]],
    *,
    available: set[str],
) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {"root": {"level": "WARNING", "handlers": ["console"]}}
    for name, (usual, outputs, propagate) in _LOGGERS.items():
        entries[name] = {"level": usual, "handlers": list(outputs), "propagate": propagate}
    entries["django"]["level"] = _django_level()
    if os.environ.get("DEBUG_CONNECTORS"):
        entries["apps.connectors"]["level"] = "DEBUG"
    for name, change in further.items():
        default = {"level": "INFO", "handlers": list(_EVERYWHERE), "propagate": False}
        changes = change if isinstance(change, Mapping) else {"level": change}
        entries[name or "root"] = {**entries.get(name or "root", default), **changes}
    for name, level in levels.items():
        entries.setdefault(name or "root", {})["level"] = level
    for entry in entries.values():
        _settle(entry, available)
    return entries


def _settle(entry: dict[str, Any], available: set[str]) -> None:
    """Spell the level as logging does; leave out files that are off, so that no record is lost."""
    if isinstance(entry.get("level"), str):
        entry["level"] = entry["level"].upper()
    if "handlers" in entry:
        there = [name for name in entry["handlers"] if name in available]
        lost = entry["handlers"] and not there and not entry.get("propagate", True)
        entry["handlers"] = ["console"] if lost else there


def _django_level() -> str:
    """Return `DJANGO_LOG_LEVEL`; warn of a wrong one, since every command reads the settings."""
    level = os.environ.get("DJANGO_LOG_LEVEL") or "INFO"
    if known_level(level):
        return level
    warnings.warn(
        f"DJANGO_LOG_LEVEL must be one of {', '.join(logging.getLevelNamesMapping())}, "
        f"got {level!r} (from the environment); INFO is used",
        RuntimeWarning,
        stacklevel=4,
    )
    return "INFO"


def _version_file() -> str:
    try:
        return Path("VERSION").read_text(encoding="utf-8").strip() or UNKNOWN
    except (OSError, UnicodeDecodeError):
        return UNKNOWN
