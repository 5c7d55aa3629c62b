"""Names that look like secrets, and maps without the values under them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import cast

from etl_telemetry import guard
from etl_telemetry.redaction.addresses import urls
from etl_telemetry.redaction.given import as_text
from etl_telemetry.redaction.policy import MASK, NOTHING_ALLOWED, Policy

_MAX_NAME = 512
_MAX_DEPTH = 6
_MAX_ITEMS = 128

# secretKey, APIKey, X-Api-Key: where a new word begins without a separator.
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATOR = re.compile(r"[\W_]+")

_WORDS = frozenset(
    ("pass", "pwd", "apikey", "accesskey", "privatekey", "secretkey", "authorization", "cookie",
     "cookies", "csrf", "csrfmiddlewaretoken", "dsn", "jwt", "bearer", "otp", "ssn", "cvv",
     "sessionid", "sig", "signature", "passphrase", "passcode")
)  # fmt: skip
_PAIRS = frozenset(
    ("api key", "access key", "private key", "secret key", "encryption key", "signing key",
     "session id", "session key", "connection string", "set cookie", "account key")
)  # fmt: skip
_ENDINGS = ("password", "passwords", "passwd", "secret", "secrets", "token", "credential",
            "credentials")  # fmt: skip
_BEGINNINGS = ("password", "passwd")
# `token_count` is a number about tokens, not a token.
_ABOUT = frozenset(
    ("count", "total", "length", "size", "type", "limit", "ttl", "age", "expiry", "expires",
     "version", "name")
)  # fmt: skip


def is_secret(name: str, *, policy: Policy | None = None) -> bool:
    """Tell whether a value under `name` must be hidden.

    >>> [is_secret(n) for n in ("db_password", "X-Api-Key", "accessToken", "author", "token_count")]
    [True, True, True, False, False]
    """
    if policy is not None and (policy.allows(name) or policy.allows(name.rpartition(".")[2])):
        return False
    return _looks_secret(name) if len(name) <= _MAX_NAME else _looks_secret(name[-_MAX_NAME:])


@lru_cache(maxsize=4_096)
def _looks_secret(name: str) -> bool:
    words = [word for word in _SEPARATOR.split(_BOUNDARY.sub("_", name).lower()) if word]
    if not words or words[-1] in _ABOUT:
        return False
    if words[-1] == "auth" or not _WORDS.isdisjoint(words):
        return True
    if any(f"{a} {b}" in _PAIRS for a, b in pairwise(words)):
        return True
    bare = [word.rstrip("0123456789") for word in words]
    return any(word.endswith(_ENDINGS) or word.startswith(_BEGINNINGS) for word in bare)


def mapping(source: Mapping[str, object], *, policy: Policy | None = None) -> dict[str, object]:
    """Return a copy of `source` with the values under secret-looking names hidden, at any depth.

    URLs inside of text lose their query values. A map that cannot be read comes
    back empty, one that is nested too deeply is hidden.

    >>> mapping({"user": "ann", "auth": {"password": "x"}, "url": "http://a/?t=1"})
    {'user': 'ann', 'auth': 'REDACTED', 'url': 'http://a/?t=REDACTED'}
    """
    found: dict[str, object] = {}
    with guard.absorb("redacting a map"):
        found.update(_mapping(source, policy or NOTHING_ALLOWED, _MAX_DEPTH))
    return found


def _mapping(source: Mapping[str, object], policy: Policy, depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in source.items():
        if len(found) >= _MAX_ITEMS:
            break
        name = as_text(key, limit=_MAX_NAME)
        found[name] = MASK if is_secret(name, policy=policy) else _value(value, policy, depth - 1)
    return found


def _value(value: object, policy: Policy, depth: int) -> object:
    kind = type(value)  # Not isinstance: that asks the object itself, which may raise.
    if issubclass(kind, str):
        return urls(cast(str, value), policy=policy)
    if issubclass(kind, Mapping):
        return _mapping(cast(Mapping[str, object], value), policy, depth) if depth else MASK
    if issubclass(kind, (list, tuple)):
        items = cast(Sequence[object], value)[:_MAX_ITEMS]
        return [_value(item, policy, depth - 1) for item in items] if depth else MASK
    return value
