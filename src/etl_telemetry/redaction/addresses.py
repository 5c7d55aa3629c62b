"""URLs without credentials and without query values."""

from __future__ import annotations

import re
from functools import lru_cache

from etl_telemetry.redaction.given import as_text
from etl_telemetry.redaction.policy import MASK, Policy

_MAX_INPUT = 8_192
_MAX_CACHED = 1_024
_MAX_HOST = 300
_MAX_PATH = 1_024
_MAX_QUERY = 1_024
_MAX_NAME = 64
_NO_PARAMETERS: frozenset[str] = frozenset()

_END_OF_AUTHORITY = re.compile(r"[/?#]")
# host, host:1234, [::1]:1234, and several of them (libpq, Kafka).
_ONE_HOST = r"(?:\[[0-9A-Fa-f:.%]*\]|[\w.%*~-]*)(?::\d*)?"
_HOSTS = re.compile(rf"{_ONE_HOST}(?:,{_ONE_HOST})*")
_MATRIX = re.compile(r";([^=;/]*)=[^;/]*")
_SEPARATORS = re.compile(r"[&;]")
# In free text: what follows `://`, or the query of a path (`with url: /a?token=...`).
_IN_TEXT = re.compile(r"""://[^\s'"<>]+|(?<![\w/])/[^\s?'"<>]*+\?[^\s'"<>]+""")


def url(value: object, *, policy: Policy | None = None) -> str:
    """Return a URL without user and password, query values and fragment; never raise.

    The form is that of the semantic conventions for `url.full`. What is no URL
    comes back as it is, unless a part of it looks like credentials or a query.

    >>> url("https://ann:pw@example.com/a?token=1&page=2#top")
    'https://REDACTED:REDACTED@example.com/a?token=REDACTED&page=REDACTED'
    >>> url("/a?page=2", policy=Policy(allow=("url.query.page",)))
    '/a?page=2'
    """
    text = as_text(value, limit=_MAX_INPUT)
    parameters = _NO_PARAMETERS if policy is None else policy.parameters
    return _cached(text, parameters) if len(text) <= _MAX_CACHED else _url(text, parameters)


def query(value: object, *, policy: Policy | None = None) -> str:
    """Return a query string without values.

    >>> query("token=1&page=2")
    'token=REDACTED&page=REDACTED'
    """
    return _query(
        as_text(value, limit=_MAX_INPUT), _NO_PARAMETERS if policy is None else policy.parameters
    )


def urls(text: str, *, policy: Policy | None = None) -> str:
    """Return free text in which every URL, and every path with a query, is redacted.

    >>> urls("404 for url: https://u:p@a.example/x?k=1 (and /y?token=2)")
    '404 for url: https://REDACTED:REDACTED@a.example/x?k=REDACTED (and /y?token=REDACTED'
    """
    if "://" not in text and "?" not in text:
        return text
    parameters = _NO_PARAMETERS if policy is None else policy.parameters
    return _IN_TEXT.sub(lambda match: _url(match[0][:_MAX_INPUT], parameters), text)


@lru_cache(maxsize=1_024)
def _cached(text: str, parameters: frozenset[str]) -> str:
    return _url(text, parameters)


def _url(text: str, parameters: frozenset[str]) -> str:
    scheme, separator, rest = text.partition("://")
    if separator and not _END_OF_AUTHORITY.search(scheme):
        authority, rest = _authority(rest)
        head = f"{scheme[-_MAX_NAME:]}://{authority}"
    elif text.startswith("//"):
        authority, rest = _authority(text[2:])
        head = f"//{authority}"
    elif text[:5].lower() == "data:":
        return f"data:{MASK}"
    else:
        head, rest = "", _without_user(text)
    path, mark, parameter_text = rest.partition("#")[0].partition("?")
    path = _MATRIX.sub(rf";\1={MASK}", path)[:_MAX_PATH]
    return f"{head}{path}{mark}{_query(parameter_text, parameters)}"


def _authority(rest: str) -> tuple[str, str]:
    """Split off the authority; hide the user, and a part that may be a password."""
    authority, rest = _split(rest)
    _, at, host = authority.rpartition("@")
    path = rest.partition("#")[0].partition("?")[0]
    if (at or ":" in host) and "@" in path:
        # `postgres://user:a/b@host`: a password with a slash ends the authority too early. What
        # looks like a port may be the begin of one.
        at = "@"
        host, rest = _split(rest[path.rindex("@") + 1 :])
    elif _odd(host) and "@" in rest:
        return MASK, ""  # As above, with a question mark: where the host is cannot be told.
    if len(host) > _MAX_HOST or _odd(host):
        host = MASK
    return (f"{MASK}:{MASK}@{host}" if at else host), rest


def _odd(authority: str) -> bool:
    return _HOSTS.fullmatch(authority) is None


def _split(text: str) -> tuple[str, str]:
    end = _END_OF_AUTHORITY.search(text)
    return (text, "") if end is None else (text[: end.start()], text[end.start() :])


def _without_user(text: str) -> str:
    """Hide what stands before an @ (`user:password@host/db`, `mailto:ann@example.com`)."""
    first, rest = _split(text)
    if "@" not in first:
        return text
    return f"{MASK}:{MASK}@{first.rpartition('@')[2]}{rest}"


def _query(text: str, parameters: frozenset[str]) -> str:
    found: list[str] = []
    left = _MAX_QUERY
    for part in _SEPARATORS.split(text):
        name, equals, _ = part.partition("=")
        if not equals:
            shown = MASK if part else ""
        elif name in parameters:
            shown = part
        else:
            shown = f"{name if len(name) <= _MAX_NAME else MASK}={MASK}"
        left -= len(shown) + 1
        if left < 0:
            break
        found.append(shown)
    return "&".join(found)
