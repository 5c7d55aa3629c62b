"""What a message to another process carries: trace context to all, baggage to named places only.

OpenTelemetry's default propagators add the baggage to every outbound request
(trap 21), whoever answers it. Here baggage is read from anybody and written only
where the writer says that the destination is ours: our own broker, and the hosts
of ``Config.baggage_hosts``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import entry_points

from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from etl_telemetry.tracing.destination import is_named, to_named_place

__all__ = ["NamedPlacesBaggage", "build", "install", "to_named_place"]

_log = logging.getLogger("etl_telemetry")


class NamedPlacesBaggage(TextMapPropagator):
    """W3C baggage that leaves only in a context marked by `to_named_place`."""

    def __init__(self) -> None:
        self._baggage = W3CBaggagePropagator()

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Read the baggage that came in."""
        return self._baggage.extract(carrier, context, getter)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the baggage, if the destination was named."""
        if is_named(context):
            self._baggage.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        """Return the headers that this propagator may write."""
        return self._baggage.fields


def build(names: Sequence[str]) -> TextMapPropagator:
    """Return the propagator for names as in ``OTEL_PROPAGATORS``.

    ``none`` anywhere switches all off. A name that no installed package knows is
    left out with a warning: the specification never lets it stop a process.

    >>> sorted(build(["tracecontext", "baggage"]).fields)
    ['baggage', 'traceparent', 'tracestate']
    """
    if "none" in names:
        return CompositePropagator([])
    found = [_propagator(name) for name in dict.fromkeys(names)]
    return CompositePropagator([propagator for propagator in found if propagator is not None])


def install(names: Sequence[str]) -> None:
    """Make `build(names)` the propagator of this process."""
    propagate.set_global_textmap(build(names))


def _propagator(name: str) -> TextMapPropagator | None:
    if name == "tracecontext":
        return TraceContextTextMapPropagator()
    if name == "baggage":
        return NamedPlacesBaggage()
    for entry_point in entry_points(group="opentelemetry_propagator", name=name):
        factory = entry_point.load()
        propagator: TextMapPropagator = factory()
        return propagator
    _log.warning("propagator_not_installed", extra={"propagator": name})
    return None
