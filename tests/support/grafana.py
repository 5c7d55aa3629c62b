"""Grafana's files, read as Grafana reads them: panels, questions, variables put in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from support.pages import REPOSITORY

FOLDER = REPOSITORY / "collector" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))

BUILT_IN = {
    "__rate_interval",
    "__range",
    "__interval",
    "__value",
    "__url_time_range",
    "__data",
    "__all",
}
"""Variables that Grafana itself sets."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::(\w+))?[^}]*\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Target:
    """One question of a panel."""

    board: str
    """Uid of the dashboard."""
    panel: dict[str, Any]
    """The panel."""
    asked: dict[str, Any]
    """The question itself."""

    def __str__(self) -> str:
        return f"{self.board}/{self.panel['title']}/{self.asked['refId']}"

    @property
    def source(self) -> str:
        """Return the kind of data source that is asked."""
        return str(self.asked["datasource"]["type"])


def boards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by uid."""
    read = (json.loads(path.read_text()) for path in FILES)
    return {board["uid"]: board for board in read}


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without its rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(source: str | None = None) -> list[Target]:
    """Return every question of every panel, or those to one kind of source."""
    found = [
        Target(uid, panel, asked)
        for uid, board in boards().items()
        for panel in panels(board)
        for asked in panel["targets"]
    ]
    return [each for each in found if source in (None, each.source)]


def variables_in(value: object) -> set[str]:
    """Return the names of the variables that are used anywhere below a value."""
    if isinstance(value, str):
        return {braced or bare for braced, _, bare in _VARIABLE.findall(value)}
    if isinstance(value, Mapping):
        return set().union(*map(variables_in, value.values()))
    return set().union(*map(variables_in, value)) if isinstance(value, list) else set()


def put_in(text: str, values: Mapping[str, str]) -> str:
    """Return a query with its variables replaced; a name without a value is an error."""
    return _VARIABLE.sub(lambda found: values[found[1] or found[3]], text)


def variables() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every variable with the dashboard that it belongs to."""
    for uid, board in boards().items():
        for variable in board["templating"]["list"]:
            yield uid, variable
