"""Check a source's header before a single row of it is read."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class SchemaError(ValueError):
    """The source no longer has the columns that the pipeline needs."""

    def __init__(self, *, source: str, missing: Sequence[str], found: Sequence[str]) -> None:
        self.source = source
        self.missing = tuple(missing)
        self.found = tuple(found)
        super().__init__(
            f"{source}: column {', '.join(map(repr, missing))} is missing. "
            f"The header has {', '.join(found)}.{self._hint()} "
            "Ask the owner of the source, or map the new name in the connector's options "
            '({"columns": {"<new name>": "<our name>"}}).'
        )

    def _hint(self) -> str:
        new = [name for name in self.found if name not in self.missing]
        pairs = [
            f"{name!r} looks like {near[0]!r}"
            for name in self.missing
            if (near := difflib.get_close_matches(name, new, n=1, cutoff=0.6))
        ]
        return f" Renamed? {'; '.join(pairs)}." if pairs else ""

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling: Celery's result backend hands errors from process to process."""
        return (_rebuild, (self.source, self.missing, self.found))


def _rebuild(source: str, missing: tuple[str, ...], found: tuple[str, ...]) -> SchemaError:
    return SchemaError(source=source, missing=missing, found=found)


def positions(
    header: Sequence[str],
    needed: Sequence[str],
    *,
    source: str,
    renamed: dict[str, str] | None = None,
) -> tuple[int, ...]:
    """Return where each of the `needed` columns is in `header`.

    `renamed` maps a source's name to ours. Raises `SchemaError` that names every
    missing column and the one that it was probably renamed to.

    >>> positions(["origin", "hour"], ["hour"], source="weather.csv")
    (1,)
    """
    ours = [(renamed or {}).get(name, name) for name in header]
    missing = [name for name in needed if name not in ours]
    if missing:
        raise SchemaError(source=source, missing=missing, found=header)
    return tuple(ours.index(name) for name in needed)
