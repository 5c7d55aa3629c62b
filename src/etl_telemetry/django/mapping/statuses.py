"""Which of the host's values is which status of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from etl_telemetry.catalogue import RunStatus
from etl_telemetry.config.kinds import nearest
from etl_telemetry.django.mapping.fields import SOURCE
from etl_telemetry.django.mapping.result import Statuses
from etl_telemetry.django.mapping.roles import ACTIVE, WORDS

_WHAT = "MODELS['run']['statuses']"
_NEEDED = (RunStatus.SUCCESS.value, RunStatus.FAILED.value)


def resolve(given: object, field: Any) -> tuple[Statuses, list[str]]:
    """Return the statuses and what is wrong with them.

    Without a setting the words are the values, as far as the field's choices have them.
    """
    choices = [value for value, _ in field.flatchoices]
    if given is None:
        words = [word for word in WORDS if not choices or word in choices]
        found: dict[str, tuple[object, ...]] = {word: (word,) for word in words}
    elif isinstance(given, Mapping):
        found = {str(word): _several(value) for word, value in given.items()}
    else:
        wrong = f"{_WHAT} must be a dictionary of words and values, got {given!r} ({SOURCE})"
        return Statuses(MappingProxyType({})), [wrong]
    return Statuses(MappingProxyType(found)), list(_problems(found, choices, field))


def _several(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)


def _problems(
    found: Mapping[str, tuple[object, ...]], choices: list[object], field: Any
) -> Iterator[str]:
    where = f"{field.model._meta.label}.{field.name}"
    for word in found:
        if word not in WORDS:
            fix = nearest(word, WORDS) or f"known are {', '.join(WORDS)}"
            yield f"{_WHAT} must have words of telemetry as keys, got {word!r} ({SOURCE}); {fix}"
    yield from _missing(found)
    values = [value for several in found.values() for value in several]
    if any(isinstance(value, (list, tuple, set, Mapping)) for value in values):
        yield f"{_WHAT} must have plain values, got a list or a dictionary ({SOURCE})"
        return
    for value in dict.fromkeys(values):
        if values.count(value) > 1:
            yield f"{_WHAT} must give each value one word, got {value!r} more than once ({SOURCE})"
        if choices and value not in choices:
            yield (
                f"{_WHAT} must have values among the choices of {where}, got {value!r} "
                f"({SOURCE}); choices are {', '.join(map(str, choices))}"
            )
    for value in choices:
        if value not in values:
            yield (
                f"{_WHAT} must have every choice of {where}, {value!r} is missing ({SOURCE}); "
                f"add it to one of {', '.join(WORDS)}"
            )


def _missing(found: Mapping[str, tuple[object, ...]]) -> Iterator[str]:
    for word in _NEEDED:
        if not found.get(word):
            yield f"{_WHAT} must have a value for {word!r} ({SOURCE})"
    if not any(found.get(word) for word in ACTIVE):
        yield f"{_WHAT} must have a value for 'pending' or 'running' ({SOURCE})"
