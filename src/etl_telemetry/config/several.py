"""Kinds of several values: names, and pairs of a name and a value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from etl_telemetry.config.kinds import SECONDS, Kind, WrongValue, mapping, nearest, whole

_BUILT_IN_PROPAGATORS = frozenset({"tracecontext", "baggage", "none"})
_NAME = re.compile(r"\S+")
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)  # RFC 9110, section 5.6.2
_HOST = re.compile(r"\.?[\w-]+(\.[\w-]+)*|[\da-f]*:[\da-f:.]*", re.ASCII | re.IGNORECASE)


def names(
    *known: str, allowed: str = "names separated by commas", pattern: re.Pattern[str] = _NAME
) -> Kind:
    """Return the kind of several names: text with commas, or a list, tuple or set.

    >>> names().parse("migrate_legacy, cleanup")
    ('migrate_legacy', 'cleanup')
    """

    def parse(value: object) -> tuple[str, ...]:
        for item in (items := _items(value)):
            if not isinstance(item, str):
                raise WrongValue(got=f"an item of type {type(item).__name__}")
            if not (item in known if known else pattern.fullmatch(item)):
                raise WrongValue(got=repr(item[:100]), hint=nearest(item, known))
        return tuple(dict.fromkeys(str(item) for item in items))

    return Kind(f"names among {', '.join(known)}" if known else allowed, parse)


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        return [item for part in value.split(",") if (item := part.strip())]
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    raise WrongValue


def _installed_propagators(value: object) -> tuple[str, ...]:
    found: tuple[str, ...] = PROPAGATORS.parse(value)
    for name in found:
        if name not in _BUILT_IN_PROPAGATORS:
            installed = entry_points(group="opentelemetry_propagator").names
            if name not in installed:
                known = sorted(_BUILT_IN_PROPAGATORS | installed)
                fix = nearest(name, known) or "install its package"
                raise WrongValue(got=repr(name), hint=f"{fix} (known are {', '.join(known)})")
    return found


def _bearer_tokens(value: object) -> tuple[str, ...]:
    items = _items(value)
    for place, item in enumerate(items, start=1):
        # Of a wrong one nothing is shown: most of it may be right.
        if not isinstance(item, str) or not BEARER_TOKEN.fullmatch(item):
            raise WrongValue(got=f"a wrong one in place {place}")
    return tuple(dict.fromkeys(map(str, items)))


def networks(*, allowed: str, unix: bool = False) -> Kind:
    """Return the kind of networks; with `unix` also the word for a peer that has no address.

    >>> networks(allowed="networks").parse("10.0.0.0/8, ::1")
    ('10.0.0.0/8', '::1')
    """

    def parse(value: object) -> tuple[str, ...]:
        found: tuple[str, ...] = names().parse(value)
        for item in found:
            try:
                _ = (unix and item == UNIX_SOCKET) or ip_network(item)
            except ValueError:
                raise WrongValue(got=repr(item[:100])) from None
        return found

    return Kind(allowed, parse)


def pairs(*, allowed: str, key: re.Pattern[str], text_only: bool = True) -> Kind:
    """Return the kind of maps: text such as `a=1,b=2` (percent-encoded), or a mapping.

    Of a wrong one nothing is shown but where it is wrong: the values may be secrets.

    >>> pairs(allowed="pairs", key=_NAME).parse("team=etl,region=eu%20west")
    {'team': 'etl', 'region': 'eu west'}
    """

    def parse(value: object) -> dict[str, Any]:
        found = dict(_split(value)) if isinstance(value, str) else value
        if not isinstance(found, Mapping):
            raise WrongValue(got=f"a value of type {type(value).__name__}")
        for place, (name, item) in enumerate(found.items(), start=1):
            if not isinstance(name, str) or not key.fullmatch(name):
                raise WrongValue(got=f"a wrong name in pair {place}")
            if not _plain(item, text_only=text_only):
                raise WrongValue(got=f"a wrong value in pair {place}")
        return dict(found)

    return Kind(allowed, parse)


def _split(value: str) -> list[tuple[str, str]]:
    found = []
    for place, item in enumerate(value.split(","), start=1):
        if not item.strip():
            continue
        if "=" not in item:
            raise WrongValue(got=f"no '=' in pair {place}")
        try:
            name, content = (
                unquote_to_bytes(part.strip()).decode("utf-8") for part in item.split("=", 1)
            )
        except UnicodeError:
            raise WrongValue(got=f"a wrong percent-encoding in pair {place}") from None
        found.append((name, content))
    return found


def _plain(value: object, *, text_only: bool) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if text_only:
        return False
    if isinstance(value, (list, tuple)):
        alike = len({type(item) for item in value}) <= 1
        return alike and all(
            _plain(item, text_only=False) and not isinstance(item, (list, tuple)) for item in value
        )
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _header(value: object) -> str:
    if isinstance(value, str) and _TOKEN.fullmatch(value.strip()):
        return value.strip()
    raise WrongValue


def _models(value: object) -> dict[str, Any]:
    """Return the roles of models; which roles and fields there are, only Django can tell."""
    roles = mapping(value)
    for role, model in roles.items():
        if not isinstance(role, str) or not isinstance(model, (str, Mapping)):
            raise WrongValue(got=f"a value of type {type(model).__name__} for {role!r}"[:100])
    return {
        role: model if isinstance(model, str) else MappingProxyType(dict(model))
        for role, model in roles.items()
    }


def _one(found: tuple[str, ...]) -> str:
    if len(found) != 1:
        raise WrongValue
    return found[0]


def by_name(kind: Kind, *, allowed: str) -> Kind:
    """Return the kind of maps from names to values of another kind.

    >>> by_name(Kind("a number", float), allowed="pairs").parse("export=30,admin/*=5")
    {'export': 30.0, 'admin/*': 5.0}
    """
    named = pairs(allowed=allowed, key=_NAME, text_only=False)

    def parse(value: object) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for place, (name, item) in enumerate(named.parse(value).items(), start=1):
            try:
                found[name] = kind.parse(item)
            except WrongValue:
                raise WrongValue(got=f"a wrong value in pair {place}") from None
        return found

    return Kind(allowed, parse)


UNIX_SOCKET = "unix"
"""Stands among networks for a peer that has no address."""
BEARER_TOKEN = re.compile(r"[\w.~+/-]{16,512}=*", re.ASCII)  # RFC 6750, section 2.1
"""A token that cannot be guessed: at least 16 characters."""
BEARER_TOKENS = Kind(
    "tokens separated by commas, each of 16 to 512 letters, digits and -._~+/", _bearer_tokens
)
NETWORKS = networks(allowed="IP addresses or networks separated by commas, such as 10.0.0.0/8")
PROXIES = networks(
    allowed="networks separated by commas, such as 10.0.0.0/8 or 192.0.2.7, or "
    f"'{UNIX_SOCKET}' for a Unix socket",
    unix=True,
)
PROPAGATORS = names(allowed="names of propagators, separated by commas")
INSTALLED_PROPAGATORS = Kind(
    "names of installed propagators, separated by commas", _installed_propagators
)
HOSTS = names(
    allowed="hosts separated by commas: api.example.com, or .example.com for its subdomains too",
    pattern=_HOST,
)
MODEL_NAMES = names(
    allowed="models separated by commas, such as shop.Pipeline", pattern=re.compile(r"\w+\.\w+")
)
HEADERS = pairs(allowed="HTTP headers such as name=value,name=value", key=_TOKEN)
ATTRIBUTES = pairs(
    allowed="attributes such as name=value,name=value",
    key=re.compile(r"\S{1,255}"),
    text_only=False,
)
CALLABLES = names(
    allowed="functions such as package.module:function, separated by commas",
    pattern=re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*"),
)
CALLABLE = Kind(
    "a function such as package.module:function",
    lambda value: _one(CALLABLES.parse(value)),
)
TASK_TYPES = pairs(
    allowed="patterns of task names with their types, such as shop.fetch_*=extract", key=_NAME
)
PATHS = names(
    allowed="paths that begin with a slash, separated by commas, such as /healthz or /static/*",
    pattern=re.compile(r"/\S*"),
)
HEADER = Kind("the name of an HTTP header", _header)
SECONDS_BY_ROUTE = by_name(SECONDS, allowed="routes with seconds above 0, such as export/*=30")
COUNT_BY_ROUTE = by_name(
    whole(at_least=1), allowed="routes with whole numbers of at least 1, such as export/*=200"
)
MODELS = Kind("a dictionary of roles and models such as {'run': 'shop.Run'}, or its JSON", _models)
