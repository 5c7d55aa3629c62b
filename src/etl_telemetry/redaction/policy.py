"""What a user allows to leave the process as it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

MASK = "REDACTED"
"""Stands for a hidden value (the word that the semantic conventions use in `url.full`)."""

# One name opens a fact under its present and under its former name.
_SAME = (
    {"db.query.text", "db.statement"},
    {"url.full", "http.url"},
    {"url.query", "http.target"},
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The allow-list: everything that it does not name stays hidden.

    An entry is one of: an attribute key (`db.query.text`), a field or argument
    name that looks like a secret but is none (`token_id`), or a query parameter
    as `url.query.<name>` (`url.query.page`).

    >>> policy = Policy(allow=("url.query.page", "db.query.text"))
    >>> policy.allows("db.statement"), policy.allows("url.full"), policy.parameters
    (True, False, frozenset({'page'}))
    """

    allow: Collection[str] = ()
    """Names that may leave the process as they are; none by default."""
    parameters: frozenset[str] = field(init=False, repr=False, compare=False)
    """Names of the query parameters that may keep their values; follows from `allow`."""

    def __post_init__(self) -> None:
        names = set(self.allow)
        for same in _SAME:
            if names & same:
                names |= same
        prefix = "url.query."
        open_ = (n.removeprefix(prefix) for n in names if n.startswith(prefix))
        object.__setattr__(self, "allow", frozenset(names))
        object.__setattr__(self, "parameters", frozenset(open_))

    def allows(self, name: str) -> bool:
        """Tell whether the value under `name` may leave as it is."""
        return name in self.allow


NOTHING_ALLOWED = Policy()
"""The default policy."""
