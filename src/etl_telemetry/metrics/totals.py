"""Sums that somebody else keeps: the totals of a ledger, exported instead of this process' own.

A ledger counts in its database, in the transaction that takes a run out of the outbox. What
its process exports is what stands there, so a crash at any point loses and doubles nothing.
The instruments still see each run, for exemplars and so that there is a series; their numbers
are replaced on the way out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from etl_telemetry import guard
from etl_telemetry.catalogue import PIPELINE_EXECUTION_DURATION, PIPELINE_EXECUTIONS
from etl_telemetry.metrics.instruments import counter, histogram
from etl_telemetry.metrics.record import run_labels

RUN_METRICS = (PIPELINE_EXECUTIONS.name, PIPELINE_EXECUTION_DURATION.name)
"""The metrics whose numbers a ledger keeps."""
Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RunTotal:
    """What a ledger has counted of one pipeline and status."""

    pipeline: str
    """Name of the pipeline."""
    organization: str
    """Organization that owns it."""
    status: str
    """How the runs ended."""
    count: int
    """Runs."""
    seconds: float
    """Sum of their durations."""
    buckets: tuple[int, ...]
    """Durations by bucket of the catalogue; their sum is less than `count` where some have none."""
    announced: bool
    """Whether the series has left some process before: else a zero goes before its first point."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The totals at one moment."""

    by_labels: Mapping[Labels, RunTotal]
    """Totals by the labels of their series."""
    since_ns: int
    """When the ledger began, in Unix nanoseconds."""
    until: float
    """Reading of the monotonic clock after which another process may be the one that reports."""
    instance_id: str | None = None
    """`service.instance.id` under which they leave; None for that of this process."""

    @property
    def expired(self) -> bool:
        """Whether this process may not report any more."""
        return time.monotonic() >= self.until


class _Published:
    """What this process exports instead of its own sums."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None


_published = _Published()


def publish_run_totals(
    totals: Iterable[RunTotal], *, since: float, lifetime: float, instance_id: str | None = None
) -> None:
    """Export these totals from now on instead of what this process has counted itself.

    For the one process that reports runs. Call it again before `lifetime` seconds have passed:
    afterwards this process says nothing of these metrics, since another one may have taken
    over. `since` is when the ledger began, in Unix seconds, the same in each process. So is
    `instance_id`, under which they leave: else `service_instance_id` must be fixed.

    >>> total = RunTotal("daily", "acme", "success", 2, 25.0, (0, 0, 0, 2, *[0] * 6), True)
    >>> publish_run_totals([total], since=1.76e9, lifetime=15.0)
    >>> withdraw_run_totals()
    """
    with guard.absorb("publishing the totals of a ledger"):
        merged: dict[Labels, RunTotal] = {}
        for total in totals:
            labels = run_labels(total.pipeline, total.organization, total.status)
            key = frozenset(labels.items())
            merged[key] = _added(merged.get(key), total)
        until = time.monotonic() + lifetime
        _published.snapshot = Snapshot(
            MappingProxyType(merged), int(since * 1e6) * 1_000, until, instance_id
        )
        # Afterwards: without the totals, a collection would export them at zero.
        for key in merged:
            _make_series(dict(key))


def prolong_run_totals(lifetime: float) -> None:
    """Go on exporting what was published for `lifetime` seconds from now.

    >>> prolong_run_totals(15.0)
    """
    was = _published.snapshot
    if was is not None:
        _published.snapshot = replace(was, until=time.monotonic() + lifetime)


def withdraw_run_totals() -> None:
    """Export what this process counts itself, as before the first `publish_run_totals`."""
    _published.snapshot = None


def published() -> Snapshot | None:
    """Return what is published, expired or not; None where nothing is."""
    return _published.snapshot


def _make_series(labels: dict[str, str]) -> None:
    """Make the points whose numbers are replaced; without a measurement there is none."""
    counter(PIPELINE_EXECUTIONS.name).add(0, labels)
    histogram(PIPELINE_EXECUTION_DURATION.name).record(0, labels)


def _added(before: RunTotal | None, total: RunTotal) -> RunTotal:
    """Add up what is one series, past the bound of a label."""
    if before is None:
        return total
    return RunTotal(
        before.pipeline,
        before.organization,
        before.status,
        before.count + total.count,
        before.seconds + total.seconds,
        tuple(one + other for one, other in zip(before.buckets, total.buckets, strict=True)),
        before.announced or total.announced,
    )
