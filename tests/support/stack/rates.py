"""What `rate()` is in Prometheus and in VictoriaMetrics, computed from the samples themselves.

The two differ by definition. Prometheus takes the samples in the window and extrapolates to its
edges (`extrapolatedRate` in promql/functions.go). VictoriaMetrics takes the last sample *before*
the window too, and extrapolates nothing (`rollupDerivFast` in app/vmselect/promql/rollup.go).
"""

from __future__ import annotations

from collections.abc import Sequence

Samples = Sequence[tuple[float, float]]
"""Unix time and value of a counter that was not reset, by time."""
FAR = 1.1
"""Prometheus: an edge is far when it is more than so many intervals of samples away."""


def prometheus(samples: Samples, *, start: float, end: float) -> float:
    """Return the rate a second over (start, end]."""
    inside = [sample for sample in samples if start < sample[0] <= end]
    (first_at, first), (last_at, last) = inside[0], inside[-1]
    interval = (last_at - first_at) / (len(inside) - 1)
    to_start, to_end = (
        edge if edge < FAR * interval else interval / 2
        for edge in (first_at - start, end - last_at)
    )
    rise, sampled = last - first, last_at - first_at
    if rise > 0:  # A counter was never below zero.
        to_start = min(to_start, sampled * first / rise)
    return rise * (sampled + to_start + to_end) / sampled / (end - start)


def victoriametrics(samples: Samples, *, start: float, end: float) -> float:
    """Return the rate a second over (start, end], when there is a sample before it."""
    before = [sample for sample in samples if sample[0] <= start][-1]
    last = [sample for sample in samples if start < sample[0] <= end][-1]
    return (last[1] - before[1]) / (last[0] - before[0])
