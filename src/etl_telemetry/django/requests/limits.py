"""How long a request may take, and how many queries it may send, by its route."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

Number = TypeVar("Number", bound=float)

_MAX_ROUTES = 2_000


class Limit(Generic[Number]):
    """One limit with its exceptions, looked up once for each route.

    >>> limit = Limit(1.0, {"export/*": 30.0, "export/small/": 2.0})
    >>> limit["export/<int:pk>/"], limit["export/small/"], limit["home/"], limit[None]
    (30.0, 2.0, 1.0, 1.0)
    """

    def __init__(self, default: Number, by_route: Mapping[str, Number]) -> None:
        self._default = default
        self._by_route = dict(by_route)
        self._known: dict[str | None, Number] = {None: default}

    def __getitem__(self, route: str | None) -> Number:
        """Return the limit of a route; None is a request that no route matched."""
        found = self._known.get(route)
        if found is None:
            found = self._find(route or "")
            if len(self._known) < _MAX_ROUTES:
                self._known[route] = found
        return found

    def _find(self, route: str) -> Number:
        if route in self._by_route:
            return self._by_route[route]
        matches = (n for pattern, n in self._by_route.items() if fnmatchcase(route, pattern))
        return next(matches, self._default)
