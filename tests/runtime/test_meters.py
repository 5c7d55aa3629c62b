"""Delegating instruments: every kind, callbacks that fail, labels without a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from etl_telemetry import guard
from etl_telemetry.runtime.collecting import Postponed
from etl_telemetry.runtime.current import Current, Signals
from etl_telemetry.runtime.meters import DelegatingMeterProvider


class _Interrupted(MeterProvider):
    """An SDK provider during whose work, under its lock, something else runs: a destructor."""

    while_locked: list[Callable[[], None]]

    def get_meter(self, *args: Any, **kwargs: Any) -> metrics.Meter:
        with self._meter_lock:
            if self.while_locked:
                self.while_locked.pop()()
        return super().get_meter(*args, **kwargs)


class _House:
    """A delegating provider over SDK providers whose readers the test can ask."""

    def __init__(self) -> None:
        self.readers: list[InMemoryMetricReader] = []
        self.current = Current(self._build)
        self.postponed = Postponed()
        self.provider = DelegatingMeterProvider(self.current, self.postponed)
        self.while_locked: list[Callable[[], None]] = []

    def _build(self, forks: int) -> Signals:
        self.readers.append(InMemoryMetricReader())
        sdk = _Interrupted([self.readers[-1]], shutdown_on_exit=False)
        sdk.while_locked = self.while_locked
        self.provider.populate(sdk)
        return Signals(
            traces=None, metrics=sdk, logs=None, finished=None, spans=None, records=None,
            collector=None, shutdowns=(),
        )  # fmt: skip

    def values(self) -> dict[str, dict[tuple[Any, ...], float]]:
        """Return name -> labels -> value, as the newest reader sees it."""
        data = self.readers[-1].get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = {
                        tuple(point.attributes.items()): getattr(point, "value", None)
                        or getattr(point, "sum", 0)
                        for point in metric.data.data_points
                    }
        return found


@pytest.fixture
def house() -> Iterator[_House]:
    """Give an empty house, and forget what was dropped."""
    guard.reset_after_fork()
    yield _House()
    guard.reset_after_fork()


def test_every_kind_of_instrument_records(house: _House) -> None:
    """What the API offers arrives in the SDK, and goes on after a rebuild at zero."""
    meter = house.provider.get_meter("test", "1.0")
    counter, level = meter.create_counter("c"), meter.create_up_down_counter("u")
    histogram, gauge = meter.create_histogram("h"), meter.create_gauge("g")

    def record() -> None:
        counter.add(2)
        level.add(-1)
        histogram.record(1.5)
        gauge.set(7)

    record()
    record()
    assert house.values() == {"c": {(): 4}, "u": {(): -2}, "h": {(): 3.0}, "g": {(): 7}}
    house.current.after_fork_in_child()
    record()
    assert len(house.readers) == 2
    assert house.values() == {"c": {(): 2}, "u": {(): -1}, "h": {(): 1.5}, "g": {(): 7}}


@pytest.mark.parametrize(
    "factory",
    [
        "create_observable_counter",
        "create_observable_up_down_counter",
        "create_observable_gauge",
    ],
)
def test_callbacks_live_on_after_a_rebuild(house: _House, factory: str) -> None:
    """A callback that was registered once is observed in every process."""
    meter = house.provider.get_meter("test")
    getattr(meter, factory)("before", [lambda _: [Observation(3)]])
    house.current.get()
    getattr(meter, factory)("after", [lambda _: [Observation(4)]])
    assert house.values() == {"before": {(): 3}, "after": {(): 4}}
    house.current.after_fork_in_child()
    house.current.get()
    assert house.values() == {"before": {(): 3}, "after": {(): 4}}


def test_a_callback_that_fails_keeps_nothing_else_from_being_observed(house: _House) -> None:
    """One wrong callback is counted; the others are exported."""

    def wrong(_: CallbackOptions) -> list[Observation]:
        raise ZeroDivisionError

    meter = house.provider.get_meter("test")
    meter.create_observable_gauge("wrong", [wrong])
    meter.create_observable_gauge("right", [lambda _: [Observation(1)]])
    house.current.get()
    assert house.values() == {"right": {(): 1}}
    assert guard.drops() == {"internal_error": 1}


def test_a_generator_is_a_callback_too(house: _House) -> None:
    """The API's second form of a callback: each send answers one collection."""

    def observe() -> Any:
        value, _ = 0, (yield)
        while True:
            value += 1
            yield [Observation(value)]

    house.provider.get_meter("test").create_observable_gauge("g", [observe()])
    house.current.get()
    assert [house.values(), house.values()] == [{"g": {(): 1}}, {"g": {(): 2}}]


def _add_many(counter: metrics.Counter, number: int, label: Callable[[int], Any]) -> None:
    for index in range(number):
        counter.add(1, {"host": label(index)})


def test_labels_of_other_libraries_are_bounded(house: _House) -> None:
    """Past 2,000 sets of attributes the rest share one series, and are counted (trap 15)."""
    counter = house.provider.get_meter("their library").create_counter("requests")
    _add_many(counter, 2_100, lambda index: f"host-{index}")
    _add_many(counter, 1, lambda index: "host-0")
    series = house.values()["requests"]
    assert len(series) == 2_001
    assert series[("otel.metric.overflow", True),] == 100
    assert series[("host", "host-0"),] == 2
    assert sum(series.values()) == 2_101
    assert guard.drops() == {"label_overflow": 100}


def test_labels_that_cannot_be_hashed_are_bounded_too(house: _House) -> None:
    """A list among the values is no way around the bound."""
    counter = house.provider.get_meter("their library").create_counter("requests")
    _add_many(counter, 2_001, lambda index: [str(index)])
    assert guard.drops() == {"label_overflow": 1}


def test_a_first_measurement_while_another_instrument_is_made_is_postponed(house: _House) -> None:
    """A destructor that counts, for the first time, under the SDK's lock (trap 4)."""
    meter = house.provider.get_meter("library")
    one, other = meter.create_counter("one"), meter.create_counter("other")
    house.while_locked.append(lambda: other.add(1, {"host": "a"}))
    thread = threading.Thread(target=lambda: one.add(1, {"host": "a"}), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    house.postponed.inside.busy = True  # As the collector does.
    house.postponed.record()
    house.postponed.inside.busy = False
    assert house.values() == {"one": {(("host", "a"),): 1}, "other": {(("host", "a"),): 1}}


def test_a_measurement_while_the_sdk_is_built_is_recorded_later(house: _House) -> None:
    """A destructor that counts while its thread builds the SDK objects loses nothing."""
    counter = house.provider.get_meter("test").create_counter("things")
    build = house.current._build

    def counting(forks: int) -> Signals:
        counter.add(1)
        return build(forks)

    house.current._build = counting
    house.current.get()
    counter.add(1)
    house.postponed.record()
    assert house.values() == {"things": {(): 2}}


def test_a_measurement_while_an_instrument_is_made_does_not_block(house: _House) -> None:
    """The SDK makes instruments under locks that are not re-entrant (trap 4)."""
    counter = house.provider.get_meter("test").create_counter("things")
    house.postponed.inside.busy = True  # As in the middle of a creation.
    counter.add(1)
    house.postponed.inside.busy = False
    house.current.get()
    house.postponed.record()
    assert house.values() == {"things": {(): 1}}
