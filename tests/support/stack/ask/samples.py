"""Samples of metrics, as each source of them gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """A value with its labels."""

    labels: Mapping[str, str]
    """All labels, without the name of the metric."""
    value: float
    """The value."""


def by(samples: Iterable[Sample], *labels: str) -> dict[tuple[str, ...], float]:
    """Return values by these labels.

    Raises:
        ValueError: Two samples differ in other labels only: adding them up would hide that.
    """
    found: dict[tuple[str, ...], float] = {}
    for sample in samples:
        key = tuple(sample.labels.get(label, "") for label in labels)
        if key in found:
            raise ValueError(f"two samples have {labels} = {key}; the second is {sample}")
        found[key] = sample.value
    return found
