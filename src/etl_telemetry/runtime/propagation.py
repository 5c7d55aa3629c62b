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

from opentelemetry import context as context_api
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

_OURS = context_api.create_key("etl_telemetry-destination-is-ours")
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
        if context_api.get_value(_OURS, context):
            self._baggage.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        """Return the headers that this propagator may write."""
        return self._baggage.fields


def to_named_place(context: Context | None = None) -> Context:
    """Return ``context`` (default: the current one) with leave to carry the baggage.

    >>> from opentelemetry import propagate
    >>> headers: dict[str, str] = {}
    >>> propagate.inject(headers, context=to_named_place())
    """
    return context_api.set_value(_OURS, "yes", context)


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
