"""The instruments of the catalogue, each made once per process at first use.

They come from the API's global provider: before set-up they are the API's own
proxies, and the runtime's delegating provider keeps them valid over forks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from etl_telemetry.catalogue import METRICS, SCOPE

Observe = Callable[[CallbackOptions], Iterable[Observation]]
"""Return what there is to say at a collection."""
Gauge = metrics._Gauge  # noqa: SLF001 - the API exports it under this name only


@cache
def counter(name: str) -> metrics.Counter:
    """Return the counter that the catalogue calls ``name``."""
    metric = METRICS[name]
    return metrics.get_meter(SCOPE).create_counter(metric.name, metric.unit, metric.description)


@cache
def histogram(name: str) -> metrics.Histogram:
    """Return the histogram that the catalogue calls ``name``, with its buckets."""
    metric = METRICS[name]
    return metrics.get_meter(SCOPE).create_histogram(
        metric.name,
        metric.unit,
        metric.description,
        explicit_bucket_boundaries_advisory=metric.buckets,
    )


@cache
def gauge(name: str) -> Gauge:
    """Return the gauge that the catalogue calls ``name``."""
    metric = METRICS[name]
    return metrics.get_meter(SCOPE).create_gauge(metric.name, metric.unit, metric.description)


@cache
def observe(name: str, callback: Observe) -> None:
    """Let ``callback`` say at each collection what the catalogue calls ``name``; once."""
    metric = METRICS[name]
    meter = metrics.get_meter(SCOPE)
    create = (
        meter.create_observable_gauge
        if metric.kind == "gauge"
        else meter.create_observable_up_down_counter
    )
    create(metric.name, [callback], metric.unit, metric.description)
