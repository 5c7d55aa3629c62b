"""Arguments of tasks that a user lets leave the process: by name, and none by default."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from etl_telemetry import guard
from etl_telemetry.tracing.arguments import Arguments
from etl_telemetry.values import AttributeValue


class AllowedArguments:
    """Read those arguments of a task that are named, bounded and without secrets."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._known: dict[str, Arguments] = {}

    def read(self, task: Any, request: Any) -> Mapping[str, AttributeValue]:
        """Return them as fields; nothing for a task that has none of them."""
        found: Mapping[str, AttributeValue] = {}
        if self._names:
            with guard.absorb("reading the arguments of a task"):
                reader = self._known.get(task.name)
                if reader is None:  # Bounded by the tasks that the application registers.
                    reader = Arguments(inspect.signature(task.run), self._names)
                    self._known[task.name] = reader
                found = reader.read(tuple(request.args or ()), request.kwargs or {})
        return found
