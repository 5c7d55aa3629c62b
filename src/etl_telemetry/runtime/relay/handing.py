"""The outbox as the ways out of a process: what `Signals` has in the place of exporters."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricReader,
    MetricsData,
    ResourceMetrics,
)
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.resources import Resource

from etl_telemetry import guard
from etl_telemetry.catalogue import PLATFORM_INFO, SCOPE, DropReason
from etl_telemetry.config import Config
from etl_telemetry.metrics import settled
from etl_telemetry.runtime import build, exporters
from etl_telemetry.runtime.collecting import Postponed
from etl_telemetry.runtime.current import Signals
from etl_telemetry.runtime.gate import Gate
from etl_telemetry.runtime.relay.outbox import Outbox

Item = TypeVar("Item")
TICK = 5.0
"""Seconds between two times that metrics are handed over without a delivery that ends."""

_NONE = Resource({})
"""The resource crosses the socket once per message; encoding it for each span costs most."""


class DeltaReader(MetricReader):
    """Collect what was measured since the last time, as OTLP."""

    def __init__(self, postponed: Postponed) -> None:
        kinds: tuple[type, ...] = (
            Counter, Histogram, UpDownCounter,
            ObservableCounter, ObservableGauge, ObservableUpDownCounter,
        )  # fmt: skip
        super().__init__(preferred_temporality=dict.fromkeys(kinds, AggregationTemporality.DELTA))
        self._postponed = postponed
        self._collected = b""

    def take(self) -> bytes | None:
        """Return what was measured, empty for nothing; None where this thread must not ask."""
        inside = self._postponed.inside
        if inside.busy:
            return None  # A destructor that runs within the SDK: its locks are not re-entrant.
        inside.busy = True
        try:
            self._collected = b""
            self._postponed.record()
            with settled():
                self.collect()
        finally:
            inside.busy = False
        return self._collected

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the SDK's signature
        **_: object,
    ) -> None:
        if any(resource.scope_metrics for resource in metrics_data.resource_metrics):
            self._collected = encode_metrics(metrics_data).SerializeToString()

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Hold no connection, so close none."""


@dataclass(frozen=True, slots=True)
class Draining:
    """A hand-over that waits for room in the socket."""

    outbox: Outbox
    """What is handed over."""

    def wait(self, end: float) -> bool:
        """Wait until `end`; tell whether all was handed over."""
        return self.outbox.drain(end)


class Handed(Generic[Item]):
    """The way of spans or of log records."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        signal: str,
        add: Callable[[Item], None],
        abandon: Callable[[], int],
    ) -> None:
        self._outbox = outbox
        self._signal = signal
        self._add = add
        self._abandon = abandon
        self._closed = False

    def start(self) -> None:
        """Need nothing: it runs on the threads that use it."""

    def add(self, item: Item) -> None:
        """Hand over one item. Never blocks."""
        if self._closed:
            guard.drop(DropReason.NOT_DELIVERED, detail=f"{self._signal} after shutdown")
        else:
            self._add(item)

    def flush(self) -> Draining:
        """Hand over what waits."""
        return Draining(self._outbox)

    def close(self) -> Draining:
        """Take no more, and hand over what waits."""
        self._closed = True
        return self.flush()

    def abandon(self) -> int:
        """Count what is still here as not delivered, and drop it."""
        left = self._abandon()
        if left:
            guard.drop(
                DropReason.NOT_DELIVERED, detail=f"{self._signal} left at the deadline", count=left
            )
        return left


class Ticking:
    """The way of metrics: they are collected whenever something else hands them over."""

    def __init__(self, outbox: Outbox, *, interval: float) -> None:
        self._outbox = outbox
        self._interval = interval
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="etl-telemetry-metrics", daemon=True
        )

    def start(self) -> None:
        """Start to hand over what a task measures that takes long."""
        self._thread.start()

    def flush(self) -> Draining:
        """Collect, and hand over."""
        self._outbox.release(measure=True)
        return Draining(self._outbox)

    def close(self) -> Draining:
        """Collect for the last time, and hand over."""
        self._ended.set()
        return self.flush()

    def _work(self) -> None:
        while not self._ended.wait(self._interval):
            with guard.absorb("handing over metrics"):
                self._outbox.tick()


def encoded_resource(resource: Resource) -> bytes:
    """Return a resource as a message of its own (`wire.Kind.RESOURCE`)."""
    alone = ResourceMetrics(resource=resource, scope_metrics=[], schema_url=resource.schema_url)
    return encode_metrics(MetricsData([alone])).SerializeToString()


def build_handing(
    config: Config,
    *,
    postponed: Postponed,
    populate: Callable[[MeterProvider], None],
    make_outbox: Callable[[Callable[[], bytes | None]], Outbox],
) -> tuple[Signals, Outbox, Gate | None]:
    """Return the SDK objects of a process that hands its telemetry over."""
    reader = DeltaReader(postponed) if exporters.is_on("metrics", config) else None
    outbox = make_outbox(reader.take if reader is not None else bytes)
    traces = gate = metrics = logs = spans = records = ticking = None
    if exporters.is_on("traces", config):
        spans = Handed(outbox, signal="spans", add=outbox.add_span, abandon=outbox.abandon_spans)
        traces, gate = build.tracer_provider(config, _NONE, spans)
    if exporters.is_on("logs", config):
        records = Handed(
            outbox, signal="log records", add=outbox.add_record, abandon=outbox.abandon_records
        )
        logs = build.logger_provider(config, _NONE, records)
    if reader is not None:
        # What is the same in all of them is reported by the parent.
        same = View(
            instrument_name=PLATFORM_INFO.name, meter_name=SCOPE, aggregation=DropAggregation()
        )
        metrics = MeterProvider(
            [reader], resource=_NONE, views=[*build.views(config), same], shutdown_on_exit=False
        )
        populate(metrics)
        ticking = Ticking(outbox, interval=min(TICK, config.metric_interval))
        ticking.start()
    signals = Signals(
        traces=traces,
        metrics=metrics,
        logs=logs,
        finished=None if gate is None else gate.on_end,
        spans=spans,
        records=records,
        collector=ticking,
        shutdowns=(),
    )
    return signals, outbox, gate
