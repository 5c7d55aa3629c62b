"""The query string of one request; what nobody takes is an error, not ignored."""

from __future__ import annotations

from collections.abc import Mapping

from etl_telemetry.viewer.filters import Loose
from etl_telemetry.viewer.query import LIMIT
from etl_telemetry.viewer.refusal import HttpError

_ATTRIBUTE = "attr."
_MAX_DIGITS = 9


class Parameters:
    """Take parameters by name, then `finish`.

    >>> parameters = Parameters({"name": ["load"], "by": ["a", "b"]})
    >>> parameters.text("name"), parameters.all("by"), parameters.text("service")
    ('load', ['a', 'b'], None)
    >>> parameters.finish()
    """

    def __init__(self, query: Mapping[str, list[str]]) -> None:
        self._rest = dict(query)
        self._allowed: list[str] = []

    def all(self, name: str) -> list[str]:
        """Return a parameter that may be given many times."""
        self._allowed.append(name)
        return self._rest.pop(name, [])

    def text(self, name: str) -> str | None:
        """Return a parameter that may be given once."""
        values = self.all(name)
        if len(values) > 1:
            raise HttpError(400, f"{name} may be given once, got {len(values)} times")
        return values[0] if values else None

    def limit(self) -> int:
        """Return the bound of a list."""
        text = self.text("limit")
        if text is None:
            return LIMIT
        digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        if not digits or int(text) > LIMIT:
            raise HttpError(400, f"limit must be a number from 0 to {LIMIT}, got {text[:40]!r}")
        return int(text)

    def where(self) -> dict[str, object]:
        """Return the demanded attributes: `attr.<key>=<value>`."""
        self._allowed.append(f"{_ATTRIBUTE}<key>")
        found: dict[str, object] = {}
        for name in [name for name in self._rest if name.startswith(_ATTRIBUTE)]:
            values = self._rest.pop(name)
            if len(values) > 1:
                raise HttpError(400, f"{name} may be given once, got {len(values)} times")
            found[name.removeprefix(_ATTRIBUTE)] = Loose(values[0])
        return found

    def finish(self) -> None:
        """Refuse what nobody took, so that a misspelt filter does not select everything."""
        if self._rest:
            got = ", ".join(sorted(self._rest))[:200]
            allowed = ", ".join(sorted(self._allowed)) or "none"
            raise HttpError(400, f"unknown parameter {got}; allowed here: {allowed}")
