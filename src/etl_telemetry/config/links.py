"""The kind of links to backends: names for people, and templates of URLs."""

from __future__ import annotations

from string import Formatter
from typing import Any
from urllib.parse import urlsplit

from etl_telemetry.config.kinds import Kind, WrongValue, mapping, nearest

PLACEHOLDERS = ("trace_id", "run_id", "pipeline", "organization")
"""What a template may name."""
_LONGEST_NAME = 40


def placeholders(template: str) -> list[str]:
    """Return the names in a template. Raises `ValueError` where it is none.

    >>> placeholders("https://jaeger/trace/{trace_id}?run={run_id}")
    ['trace_id', 'run_id']
    """
    found = []
    for _, name, spec, conversion in Formatter().parse(template):
        if name is not None:
            if spec or conversion:
                raise ValueError(name)
            found.append(name)
    return found


def _parse(value: object) -> dict[str, str]:
    return {_name(name): _template(name, template) for name, template in mapping(value).items()}


def _name(name: object) -> str:
    if isinstance(name, str) and 0 < len(name.strip()) <= _LONGEST_NAME and name.isprintable():
        return name.strip()
    raise WrongValue(got=f"a name {name!r}"[:100], hint="names have 1 to 40 characters")


def _template(name: object, template: Any) -> str:
    where = f"for {name!r} "
    if not isinstance(template, str) or not template.isprintable():
        raise WrongValue(got=f"{where}a value of type {type(template).__name__}")
    try:
        named = placeholders(template)
    except ValueError:
        raise WrongValue(
            got=f"{where}a wrong placeholder", hint="write braces of the URL itself as {{ and }}"
        ) from None
    for each in named:
        if each not in PLACEHOLDERS:
            fix = nearest(each, PLACEHOLDERS) or f"known are {', '.join(PLACEHOLDERS)}"
            raise WrongValue(got=f"{where}the placeholder {each!r}"[:100], hint=fix)
    if not _is_safe(template):
        raise WrongValue(
            got=f"{where}no address",
            hint="write https://host/..., with placeholders behind the host, or /path",
        )
    return template


def _is_safe(template: str) -> bool:
    """Tell whether it leads to one host, whatever is filled in; never to `javascript:`."""
    try:
        parts = urlsplit(template)
    except ValueError:
        return False
    if not parts.scheme and not parts.netloc:
        return template.startswith("/") and not template.startswith(("//", "/\\"))
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and "{" not in parts.netloc


LINKS = Kind(
    'a dictionary of names and URL templates such as {"Trace": "https://host/{trace_id}"}, '
    "or its JSON",
    _parse,
)
