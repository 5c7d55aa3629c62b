"""The merge: what children measured, added up as if one process had measured it."""

from __future__ import annotations

import dataclasses
from collections import Counter as Counts
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from etl_telemetry.catalogue import (
    LAST_SUCCESS,
    PIPELINE_NAME,
    SCOPE,
    STEP_HEARTBEAT_AGE,
    STEP_ROWS_DONE,
)
from etl_telemetry.metrics import labels
from etl_telemetry.runtime.collecting import Postponed
from etl_telemetry.runtime.relay.handing import DeltaReader
from etl_telemetry.runtime.relay.store import Store
from support.patience import PATIENT

FEW = settings(PATIENT, max_examples=40)

CUMULATIVE: dict[Any, AggregationTemporality] = {}
DELTA: dict[Any, AggregationTemporality] = dict.fromkeys(
    (Counter, Histogram), AggregationTemporality.DELTA
)
EXPONENTIAL = [View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())]


class Process:
    """Instruments of one process, and how what they measured is handed over."""

    def __init__(self, store: Store, pid: int, *, views: Any = (), scope: str = "jobs") -> None:
        self._reader = DeltaReader(Postponed())
        provider = MeterProvider([self._reader], views=views, shutdown_on_exit=False)
        meter = provider.get_meter(scope)
        self.count = meter.create_counter("count", "{item}")
        self.seconds = meter.create_histogram(
            "seconds", "s", explicit_bucket_boundaries_advisory=[1, 10, 100]
        )
        self.active = meter.create_up_down_counter("active")
        self.level = meter.create_gauge("level")
        self._store, self._pid = store, pid

    def hand_over(self) -> None:
        """Hand over what was measured since the last time."""
        taken = self._reader.take()
        assert taken is not None
        if taken:
            self._store.add(taken, self._pid)


class Parent:
    """The process that exports, with instruments of its own."""

    def __init__(self, store: Store, *, views: Any = ()) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], views=views, shutdown_on_exit=False)
        self.meter = self.provider.get_meter("jobs")
        self.meter.create_observable_gauge("always", [lambda _: [_observed()]])
        self._store = store

    def export(self, temporalities: Any = CUMULATIVE) -> dict[str, list[Any]]:
        """Return the points by metric."""
        own = self._reader.get_metrics_data()
        assert isinstance(own, MetricsData)
        merged = self._store.merged(own, temporalities)
        (resource,) = merged.resource_metrics
        return {
            metric.name: sorted(metric.data.data_points, key=lambda p: sorted(p.attributes.items()))
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name != "always"
        }


def _observed() -> Any:
    from opentelemetry.metrics import Observation

    return Observation(1)


def told(point: Any) -> dict[str, Any]:
    """Return a point without times and exemplars."""
    fields = dataclasses.asdict(point)
    for name in ("start_time_unix_nano", "time_unix_nano", "exemplars"):
        del fields[name]
    return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}


def bucketed(point: Any, scale: int) -> dict[str, Any]:
    """Return an exponential histogram at a coarser scale, with its buckets by index."""
    fields = told(point)
    del fields["scale"]
    for side in ("positive", "negative"):
        buckets, found = getattr(point, side), Counts()
        for position, count in enumerate(buckets.bucket_counts):
            found[(buckets.offset + position) >> (point.scale - scale)] += count
        fields[side] = +found
    return fields


MEASURED = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.integers(0, 1_000), st.booleans()),
    max_size=25,
)


@pytest.mark.parametrize("views", [[], EXPONENTIAL], ids=["explicit", "exponential"])
@FEW
@given(MEASURED)
def test_children_and_parent_together_are_as_exact_as_one_process(
    views: list[View], measured: list[tuple[int, str, int, bool]]
) -> None:
    """Counters and histograms of three children and the parent, handed over at any time."""
    store, alone = Store(), Store()
    parent, single = Parent(store, views=views), Parent(alone, views=views)
    children = [Process(store, pid, views=views) for pid in (1, 2, 3)]
    one = Process(alone, 1, views=views)
    count = parent.meter.create_counter("count", "{item}")
    seconds = parent.meter.create_histogram(
        "seconds", "s", explicit_bucket_boundaries_advisory=[1, 10, 100]
    )
    for who, label, value, now in measured:
        kept = {"label": label}
        one.count.add(value, kept)
        one.seconds.record(value, kept)
        if who == 3:
            count.add(value, kept)
            seconds.record(value, kept)
        else:
            children[who].count.add(value, kept)
            children[who].seconds.record(value, kept)
            if now:
                children[who].hand_over()
    for process in (*children, one):
        process.hand_over()
    found, expected = parent.export(), single.export()
    assert [told(p) for p in found.get("count", [])] == [told(p) for p in expected.get("count", [])]
    pairs = zip(found.get("seconds", []), expected.get("seconds", []), strict=True)
    for merged, of_one in pairs:
        if views:
            scale = min(merged.scale, of_one.scale)
            assert bucketed(merged, scale) == bucketed(of_one, scale)
            assert max(len(merged.positive.bucket_counts), 1) <= 160
        else:
            assert told(merged) == told(of_one)


def test_sums_go_on_over_exports_with_one_begin() -> None:
    """Cumulative, whoever measures; another begin would read as a new count from zero."""
    store = Store()
    parent, child = Parent(store), Process(store, 1)
    child.count.add(2)
    child.hand_over()
    first = parent.export()["count"][0]
    parent.meter.create_counter("count", "{item}").add(5)
    second = parent.export()["count"][0]
    store.end(1)
    third = parent.export()["count"][0]
    assert [first.value, second.value, third.value] == [2, 7, 7]
    assert first.start_time_unix_nano == second.start_time_unix_nano == third.start_time_unix_nano
    assert first.time_unix_nano < second.time_unix_nano < third.time_unix_nano


def test_a_receiver_that_wants_deltas_gets_each_once() -> None:
    """As `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta` asks."""
    store = Store()
    parent, child = Parent(store), Process(store, 1)
    child.count.add(2)
    child.hand_over()
    assert [p.value for p in parent.export(DELTA)["count"]] == [2]
    assert "count" not in parent.export(DELTA)
    child.count.add(3)
    child.hand_over()
    assert [p.value for p in parent.export(DELTA)["count"]] == [3]


def test_what_a_process_had_under_way_ends_with_it() -> None:
    """An up-down counter of a process that was killed never comes back to zero by itself."""
    store = Store()
    parent, one, other = Parent(store), Process(store, 1), Process(store, 2)
    for process in (one, other, one):
        process.active.add(1)
        process.hand_over()
    assert [p.value for p in parent.export()["active"]] == [3]
    store.end(1)
    assert [p.value for p in parent.export()["active"]] == [1]
    store.end(2)
    assert [p.value for p in parent.export()["active"]] == [0]


def test_a_gauge_is_that_of_the_living_process_that_set_it_last() -> None:
    """And it ends where none lives."""
    store = Store()
    parent, one, other = Parent(store), Process(store, 1), Process(store, 2)
    one.level.set(1)
    one.hand_over()
    other.level.set(2)
    other.hand_over()
    assert [p.value for p in parent.export()["level"]] == [2]
    store.end(2)
    assert [p.value for p in parent.export()["level"]] == [1]
    store.end(1)
    assert "level" not in parent.export()


@pytest.mark.parametrize(
    ("name", "both"), [("step.heartbeat.age", 30), ("database.client.connections", 35)]
)
def test_gauges_that_each_process_looks_at_become_one(name: str, both: int) -> None:
    """The most silent step; all connections together; and what is not told any more has ended."""
    store = Store()
    parent, ages = Parent(store), {1: 30, 2: 5}
    for pid in ages:
        reader = DeltaReader(Postponed())
        meter = MeterProvider([reader], shutdown_on_exit=False).get_meter(SCOPE)
        meter.create_observable_gauge(name, [_looked_at(ages, pid)])
        meter.create_counter("count").add(1)
        store.add(reader.take() or b"", pid)
    assert [p.value for p in parent.export()[name]] == [both]
    # What the process that exports sees itself is one of them.
    own = parent.provider.get_meter(SCOPE)
    own.create_observable_gauge(name, [_looked_at({0: 0}, 0)])
    assert [p.value for p in parent.export()[name]] == [both]
    del ages[1]
    store.add(_something(), 1)
    assert [p.value for p in parent.export()[name]] == [5]


def test_what_a_killed_process_looked_at_is_told_once_more_as_zero() -> None:
    """As it tells itself what has ended; a value that stays would be shown on for minutes."""
    store = Store()
    parent, name = Parent(store), "step.heartbeat.age"
    reader = DeltaReader(Postponed())
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter(SCOPE)
    meter.create_observable_gauge(name, [_looked_at({1: 30}, 1)])
    store.add(reader.take() or b"", 1)
    assert [p.value for p in parent.export()[name]] == [30]
    store.end(1)
    assert [p.value for p in parent.export()[name]] == [0]
    assert name not in parent.export()


@pytest.mark.parametrize("temporalities", [CUMULATIVE, DELTA], ids=["cumulative", "delta"])
def test_the_last_success_is_the_newest_of_all_processes_that_ever_were(temporalities: Any) -> None:
    """An older one is told later; a child is recycled; this process has one of its own."""
    store = Store()
    parent = Parent(store)

    def succeeded(pid: int, at: float) -> None:
        reader = DeltaReader(Postponed())
        meter = MeterProvider([reader], shutdown_on_exit=False).get_meter(SCOPE)
        meter.create_gauge(LAST_SUCCESS.name, "s").set(at, {PIPELINE_NAME: "daily"})
        store.add(reader.take() or b"", pid)

    def told_now() -> list[float]:
        return [point.value for point in parent.export(temporalities)[LAST_SUCCESS.name]]

    succeeded(1, 100)
    succeeded(2, 200)
    assert told_now() == [200]
    succeeded(1, 150)
    assert told_now() == [200]
    store.end(2)
    assert told_now() == [200]
    store.end(1)
    assert told_now() == [200]
    own = parent.provider.get_meter(SCOPE).create_gauge(LAST_SUCCESS.name, "s")
    for at, last in ((120, 200), (300, 300)):
        own.set(at, {PIPELINE_NAME: "daily"})
        assert told_now() == [last]
    succeeded(3, 301)
    assert told_now() == [301]


def test_a_step_that_has_ended_is_told_as_zero_once() -> None:
    """A series for good, for each kind of step that ever ran, would be dear and say nothing."""
    store = Store()
    parent, rows = Parent(store), {1: 30, 2: 5}
    readers = {pid: DeltaReader(Postponed()) for pid in rows}
    names = (STEP_ROWS_DONE.name, STEP_HEARTBEAT_AGE.name)
    for pid, reader in readers.items():
        meter = MeterProvider([reader], shutdown_on_exit=False).get_meter(SCOPE)
        meter.create_observable_up_down_counter(names[0], [_looked_at(rows, pid)])
        meter.create_observable_gauge(names[1], [_looked_at(rows, pid)])

    def told_now() -> list[list[float]]:
        for pid, reader in readers.items():
            store.add(reader.take() or b"", pid)
        found = parent.export()
        return [[point.value for point in found.get(name, [])] for name in names]

    assert told_now() == [[35], [30]]
    rows[1] = 0
    assert told_now() == [[5], [5]]
    del rows[1]
    assert told_now() == [[5], [5]]
    rows[2] = 0
    assert told_now() == [[0], [0]]
    del rows[2]
    assert told_now() == [[], []]
    rows.update({1: 7, 2: 8})
    assert told_now() == [[15], [8]]


def test_parts_that_make_zero_together_are_kept() -> None:
    """What one process takes back, another one has added: connections, say."""
    store = Store()
    parent, one, other = Parent(store), Process(store, 1), Process(store, 2)
    one.active.add(1)
    one.hand_over()
    other.active.add(-1)
    other.hand_over()
    assert [p.value for p in parent.export()["active"]] == [0]
    other.active.add(1)
    other.hand_over()
    assert [p.value for p in parent.export()["active"]] == [1]


def _looked_at(ages: dict[int, int], pid: int) -> Any:
    from opentelemetry.metrics import Observation

    return lambda _: [Observation(ages[pid])] if pid in ages else []


def _something() -> bytes:
    """Return what a process hands over that looked and found nothing."""
    reader = DeltaReader(Postponed())
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter(SCOPE).create_counter("count").add(1)
    return reader.take() or b""


def test_exemplars_are_kept_one_per_bucket_and_told_once() -> None:
    """They lead from a bucket to a trace; an old one at every export leads nowhere new."""
    from opentelemetry.sdk.trace import TracerProvider

    store = Store()
    parent, one, other = Parent(store), Process(store, 1), Process(store, 2)
    with TracerProvider(shutdown_on_exit=False).get_tracer("x").start_as_current_span("s") as span:
        for process, value in ((one, 5), (other, 6), (other, 50)):
            process.seconds.record(value)
            process.hand_over()
    exemplars = parent.export()["seconds"][0].exemplars
    assert {(e.value, e.trace_id, e.span_id) for e in exemplars} == {
        (value, span.get_span_context().trace_id, span.get_span_context().span_id)
        for value in (6, 50)
    }
    assert parent.export()["seconds"][0].exemplars == []


def test_labels_are_bounded_over_all_children() -> None:
    """Each child knows less than the bound; together they know more."""
    store = Store()
    parent = Parent(store)
    labels.configure(max_pipelines=3, max_organizations=1)
    try:
        for pid in range(3):
            child = Process(store, pid, scope=SCOPE)
            for name in range(2):
                child.count.add(1, {PIPELINE_NAME: f"{pid}-{name}"})
            child.hand_over()
        found = {p.attributes[PIPELINE_NAME]: p.value for p in parent.export()["count"]}
    finally:
        labels.configure(max_pipelines=2_000, max_organizations=50)
    assert found == {"0-0": 1, "0-1": 1, "1-0": 1, "other": 3}


def test_metrics_of_other_libraries_have_a_limit_of_series() -> None:
    """2,000 sets of attributes, then one for the rest, as in one process."""
    store = Store()
    parent = Parent(store)
    for pid in range(3):
        child = Process(store, pid)
        for number in range(900):
            child.count.add(1, {"n": f"{pid}-{number}"})
        child.hand_over()
    found = parent.export()["count"]
    assert len(found) == 2_001
    assert [p.value for p in found if "otel.metric.overflow" in p.attributes] == [700]
