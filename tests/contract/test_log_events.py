"""Every record that this library writes itself is declared in the catalogue."""

from __future__ import annotations

import ast
from pathlib import Path

import etl_telemetry
from etl_telemetry.catalogue import LOG_EVENTS

_SOURCES = Path(etl_telemetry.__file__).parent
_LEVELS = {"debug", "info", "warning", "error"}


def _events() -> dict[str, str]:
    """Return event -> level of each literal that is handed to a module's logger."""
    found = {}
    for path in _SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in _LEVELS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "_log"
                and isinstance(node.args[0], ast.Constant)
            ):
                name = str(node.args[0].value).removesuffix(": %s")
                found[name] = node.func.attr.upper()
    return found


def test_every_event_that_the_sources_log_is_declared() -> None:
    """A name in a log call, its level, and its entry in the catalogue agree."""
    declared = {event.name: event.level for event in LOG_EVENTS.values()}
    undeclared = {name: level for name, level in _events().items() if declared.get(name) != level}
    assert undeclared == {}
