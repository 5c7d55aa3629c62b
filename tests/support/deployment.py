"""Read the files that deploy the Collector: settings, variables of configurations, sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COLLECTOR = Path(__file__).parent.parent.parent / "collector"

_UNITS = {"": 1, "b": 1, "k": 2**10, "ki": 2**10, "kib": 2**10, "m": 2**20, "mi": 2**20,
          "mib": 2**20, "g": 2**30, "gi": 2**30, "gib": 2**30}  # fmt: skip
_SIZE = re.compile(r"(\d+)([a-z]*)", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{env:(?P<name>\w+)(?P<default>:-(?P<value>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Variable:
    """What a Collector configuration takes from its environment."""

    name: str
    """Name of the environment variable."""
    default: str | None
    """Value without it; None when it must be set."""


def documents(path: Path) -> list[Any]:
    """Read every YAML document of a file, without the empty ones."""
    return [found for found in yaml.safe_load_all(path.read_text()) if found is not None]


def settings(path: Path) -> dict[str, str]:
    """Read an environment file: NAME=value lines, comments, blank lines."""
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"{path}:{number}: expected NAME=value, got {line!r}")
        found[name] = value
    return found


def variables(text: str) -> dict[str, Variable]:
    """Find every `${env:NAME}` and `${env:NAME:-default}` of a Collector configuration."""
    return {
        match["name"]: Variable(match["name"], match["value"] if match["default"] else None)
        for match in _REFERENCE.finditer(text)
    }


def expand(text: str, environment: Mapping[str, object]) -> str:
    """Put the values of the environment, or the defaults, into a Collector configuration."""

    def value(match: re.Match[str]) -> str:
        return str(environment.get(match["name"], match["value"] or ""))

    return _REFERENCE.sub(value, text)


def size(text: str) -> int:
    """Turn `512m`, `1g`, `614MiB`, `2Gi` into bytes; all of them are powers of 1024 here."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"a size must be a number and one of k m g, got {text!r}")
    return int(match[1]) * _UNITS[match[2].lower()]
