"""The observer's series on their way out: one instance id, and an end where the truth ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource

from etl_telemetry.config import resolve
from etl_telemetry.observer import board
from etl_telemetry.runtime import exporters
from etl_telemetry.runtime.metric_export import ExportingReader
from etl_telemetry.runtime.observed import ObservedSeries, is_end
from support.process import receiving, run

RESOURCE = {
    "service.name": "shop", "service.instance.id": "1234", "process.pid": 7, "host.name": "a",
}  # fmt: skip


class Process:
    """A process with one gauge of the observer, one of its own, and an exporter into memory."""

    def __init__(self) -> None:
        self.exporter = _Memory()
        self.reader = ExportingReader(self.exporter, ObservedSeries("observer"))
        self.provider = MeterProvider(
            [self.reader], resource=Resource(RESOURCE), shutdown_on_exit=False
        )
        self.sizes: dict[str, int] = {}
        self.provider.get_meter("etl_telemetry.observer").create_observable_gauge(
            "size", [lambda _: [Observation(n, {"queue": q}) for q, n in self.sizes.items()]]
        )
        self.provider.get_meter("mine").create_gauge("own").set(1)

    def export(self, **sizes: int) -> dict[str, list[tuple[Any, ...]]]:
        """Export, and return the points by the instance id of their resource."""
        self.sizes = sizes
        self.reader.collect()
        return {
            str(resource.resource.attributes["service.instance.id"]): [
                (metric.name, *(point.attributes or {}).values(), _end_or_value(point))
                for scope in resource.scope_metrics
                for metric in scope.metrics
                for point in metric.data.data_points
            ]
            for resource in self.exporter.last.resource_metrics
        }


class _Memory(MetricExporter):
    """Keep the last export, and answer as told."""

    last: MetricsData
    answer = MetricExportResult.SUCCESS

    def export(self, metrics_data: MetricsData, **_: Any) -> MetricExportResult:  # type: ignore[override]
        self.last = metrics_data
        return self.answer

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        pass


def _end_or_value(point: Any) -> object:
    return "end" if is_end(point.value) else point.value


@pytest.fixture(autouse=True)
def _leads() -> Iterator[None]:
    """Lead, and no longer afterwards."""
    board.lead(math.inf)
    yield
    board.withdraw()


OWN = ("own", 1)


def test_observed_series_have_a_resource_of_their_own() -> None:
    """That of the service with the fixed instance id, and without what tells processes apart."""
    process = Process()
    assert process.export(a=3) == {"1234": [OWN], "observer": [("size", "a", 3)]}
    observed = process.exporter.last.resource_metrics[1].resource
    assert dict(observed.attributes) == {"service.name": "shop", "service.instance.id": "observer"}


def test_a_process_without_observer_exports_as_ever() -> None:
    """No resource is added."""
    assert Process().export() == {"1234": [OWN]}


def test_a_series_that_is_not_observed_any_more_ends_once() -> None:
    """One point that says so, whether others are observed or none; then it may begin anew."""
    process = Process()
    process.export(a=3, b=0)
    assert process.export(a=4)["observer"] == [("size", "a", 4), ("size", "b", "end")]
    assert process.export(a=4)["observer"] == [("size", "a", 4)]
    assert process.export()["observer"] == [("size", "a", "end")]
    assert process.export() == {"1234": [OWN]}
    assert process.export(a=5)["observer"] == [("size", "a", 5)]


def test_an_end_that_did_not_arrive_is_sent_again() -> None:
    """Until the receiver has it."""
    process = Process()
    process.export(a=3)
    process.exporter.answer = MetricExportResult.FAILURE
    assert process.export(b=1)["observer"] == [("size", "b", 1), ("size", "a", "end")]
    assert sorted(process.export()["observer"]) == [("size", "a", "end"), ("size", "b", "end")]
    process.exporter.answer = MetricExportResult.SUCCESS
    assert sorted(process.export()["observer"]) == [("size", "a", "end"), ("size", "b", "end")]
    assert process.export() == {"1234": [OWN]}


def test_what_another_observer_goes_on_with_does_not_end() -> None:
    """An end would stand between its points."""
    process = Process()
    process.export(a=3)
    board.withdraw()
    assert process.export() == {"1234": [OWN]}
    board.lead(math.inf)
    assert process.export() == {"1234": [OWN]}


def test_sums_are_those_of_the_time_in_which_this_observer_leads() -> None:
    """Another one may have gone on counting; without the lead nothing of it leaves."""
    process = Process()
    counter = process.provider.get_meter("etl_telemetry.observer").create_counter("missed")
    counter.add(3)
    assert process.export()["observer"] == [("missed", 0), ("missed", 3)]
    board.withdraw()
    counter.add(1)  # A reading that was under way.
    assert process.export() == {"1234": [OWN]}
    board.lead(math.inf)
    counter.add(2)
    assert process.export()["observer"] == [("missed", 2)]
    (point,) = _points(process)
    assert point.start_time_unix_nano > point.time_unix_nano - 60 * 10**9
    counter.add(1)
    assert process.export()["observer"] == [("missed", 3)]
    assert _points(process)[0].start_time_unix_nano == point.start_time_unix_nano


def _points(process: Process) -> Any:
    metric = process.exporter.last.resource_metrics[1].scope_metrics[0].metrics[0]
    return metric.data.data_points


SCRIPT = """
from etl_telemetry import setup_telemetry
from etl_telemetry.catalogue import QUEUE_NAME, QUEUE_SIZE
from etl_telemetry.observer import Reading, board
telemetry = setup_telemetry(service_name="shop")
board.lead(float("inf"))
for sizes in ({"a": 3, "b": 0}, {"b": 1}, {}):
    board.post("queues", [Reading(QUEUE_SIZE, n, {QUEUE_NAME: q}) for q, n in sizes.items()])
    print(telemetry.force_flush(30))
"""


def test_a_receiver_sees_the_end() -> None:
    """As OTLP says it: a point with the flag NO_RECORDED_VALUE, here None."""
    with receiving() as (receiver, query):
        done = run(SCRIPT, receiver.address, ETL_TELEMETRY_OBSERVER_INSTANCE_ID="watcher")
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\n" * 3)
        series = query.series("celery.queue.size")
        assert {s.attributes["queue.name"]: [p.value for p in s.points] for s in series} == {
            "a": [3, None],
            "b": [0, 1, None],
        }
        assert {s.resource["service.instance.id"] for s in series} == {"watcher"}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_each_protocol_encodes_the_end(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the private seams of the exporters: this notices when a release moves them."""
    process = Process()
    process.export(a=3)
    process.export()
    exporter: Any = exporters.metric_exporter(resolve({"protocol": protocol}, {}, None))
    sent: list[Any] = []
    if protocol == "grpc":
        sent.append(exporter._translate_data(process.exporter.last))
    else:
        base = type(exporter).__mro__[1]
        monkeypatch.setattr(base, "_export_batch", lambda self, request: sent.append(request))
        exporter.export(process.exporter.last)
    exporter.shutdown()
    (point,) = sent[0].resource_metrics[1].scope_metrics[0].metrics[0].gauge.data_points
    assert (point.flags, point.WhichOneof("value")) == (1, None)
