"""`Query.sum_latest`: what metrics amount to, over writers, restarts and kinds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

from etl_telemetry.viewer.flatten_metrics import metrics as flatten
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.records import Exemplar, ExponentialHistogram, Histogram, Point
from etl_telemetry.viewer.store import Store
from support.otlp import metrics, pairs
from support.patience import PATIENT

DELTA, CUMULATIVE = 1, 2


def number(
    value: int, *, start: int = 0, time: int = 0, ended: bool = False, **attributes: object
) -> NumberDataPoint:
    """Return one data point."""
    point = NumberDataPoint(
        start_time_unix_nano=start, time_unix_nano=time, attributes=pairs(attributes)
    )
    if ended:
        point.flags = 1
    else:
        point.as_int = value
    return point


def counter(*points: NumberDataPoint, temporality: int = CUMULATIVE, falls: bool = False) -> Metric:
    """Return a sum named "rows"."""
    metric = Metric(name="rows")
    metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]
    metric.sum.is_monotonic = not falls
    metric.sum.data_points.extend(points)
    return metric


def gauge(*points: NumberDataPoint) -> Metric:
    """Return a gauge named "rows"."""
    metric = Metric(name="rows")
    metric.gauge.data_points.extend(points)
    return metric


def sent(store: Store, *items: Metric, writer: str = "a") -> None:
    """Write metrics as one writer."""
    store.add(flatten(metrics(*items, service_instance_id=writer, service_name="etl")))


def test_cumulative_sums_take_the_latest_of_each_writer(store: Store, query: Query) -> None:
    """Two exports of one writer count once, two writers count both."""
    sent(store, counter(number(3, start=1, time=2)))
    sent(store, counter(number(5, start=1, time=3)))
    sent(store, counter(number(7, start=1, time=3)), writer="b")
    assert query.sum_latest("rows") == {(): 12}
    assert query.sum_latest("rows", by=["service.instance.id"]) == {("a",): 5, ("b",): 7}


def test_a_restart_adds_to_what_was_counted_before(store: Store, query: Query) -> None:
    """A new start time of the same writer and series begins at zero."""
    sent(store, counter(number(5, start=1, time=2)))
    sent(store, counter(number(2, start=10, time=11)))
    sent(store, counter(number(3, start=10, time=12)))
    assert query.sum_latest("rows") == {(): 8}


def test_a_late_export_changes_nothing(store: Store, query: Query) -> None:
    """The latest is the one that was taken last, not the one that arrived last."""
    sent(store, counter(number(5, start=1, time=9)))
    sent(store, counter(number(3, start=1, time=4)))
    assert query.sum_latest("rows") == {(): 5}


def test_without_start_times_a_fall_is_a_restart(store: Store, query: Query) -> None:
    """Some writers send no start time; what fell must have begun again."""
    for time, value in enumerate([2, 5, 1, 4, 4], start=1):
        sent(store, counter(number(value, time=time)))
    assert query.sum_latest("rows") == {(): 9}


def test_deltas_are_added(store: Store, query: Query) -> None:
    """Each export counts, also one that comes late."""
    for start, value in ((3, 1), (1, 2), (2, 4)):
        delta = counter(number(value, start=start, time=start + 1), temporality=DELTA)
        sent(store, delta)
    assert query.sum_latest("rows") == {(): 7}


def test_an_ended_sum_keeps_what_it_counted(store: Store, query: Query) -> None:
    """A writer that says goodbye does not take its count away."""
    sent(store, counter(number(5, start=1, time=2)))
    sent(store, counter(number(0, start=1, time=3, ended=True)))
    assert query.sum_latest("rows") == {(): 5}
    assert [point.value for point in query.series("rows")[0].points] == [5, None]


def test_up_down_counters_forget_the_dead(store: Store, query: Query) -> None:
    """What a process held when it ended is not held any more: its last start counts alone."""
    sent(store, counter(number(5, start=1, time=2), falls=True))
    sent(store, counter(number(2, start=10, time=11), falls=True))
    sent(store, counter(number(4, start=1, time=2), falls=True), writer="b")
    assert query.sum_latest("rows") == {(): 6}
    sent(store, counter(number(0, start=1, time=3, ended=True), falls=True), writer="b")
    assert query.sum_latest("rows") == {(): 2}


def test_up_down_deltas_are_added(store: Store, query: Query) -> None:
    """Ups and downs since the beginning; the end of the series takes nothing away."""
    for value in (5, -2):
        sent(store, counter(number(value), temporality=DELTA, falls=True))
    sent(store, counter(number(0, start=9, ended=True), temporality=DELTA, falls=True))
    assert query.sum_latest("rows") == {(): 3}


def test_gauges_take_the_value_that_was_taken_last(store: Store, query: Query) -> None:
    """Over all writers; a series that ended has no value."""
    sent(store, gauge(number(5, time=9, queue="a"), number(1, time=1, queue="b")))
    sent(store, gauge(number(3, time=4, queue="a"), number(2, time=2, queue="b")), writer="b")
    assert query.sum_latest("rows", by=["queue"]) == {("a",): 5, ("b",): 2}
    sent(store, gauge(number(0, time=10, ended=True, queue="a")))
    assert query.sum_latest("rows", by=["queue"]) == {("a",): 3, ("b",): 2}
    sent(store, gauge(number(0, time=10, ended=True, queue="a")), writer="b")
    assert query.sum_latest("rows", by=["queue"]) == {("b",): 2}


def test_groups_and_conditions(store: Store, query: Query) -> None:
    """By several attributes, None where absent; a resource's attribute where the point has none."""
    points = [
        number(1, pipeline="p", status="ok"),
        number(2, pipeline="p", status="failed"),
        number(4, pipeline="q", status="ok"),
        number(8, status="ok"),
    ]
    sent(store, counter(*points))
    assert query.sum_latest("rows", by=["status", "pipeline"]) == {
        ("ok", "p"): 1,
        ("failed", "p"): 2,
        ("ok", "q"): 4,
        ("ok", None): 8,
    }
    assert query.sum_latest("rows", where={"status": "ok"}) == {(): 13}
    assert query.sum_latest("rows", where={"service.name": "etl", "pipeline": "p"}) == {(): 3}
    assert query.sum_latest("rows", where={"service.name": "other"}) == {}
    assert query.sum_latest("nothing") == {}


def test_lists_as_attributes_can_be_grouped(store: Store, query: Query) -> None:
    """Their JSON text is the key, since a dict needs hashable ones."""
    sent(store, counter(number(1, tags=["x", "y"])))
    assert query.sum_latest("rows", by=["tags"]) == {('["x", "y"]',): 1}


def test_two_kinds_of_one_name_have_no_sum(store: Store, query: Query) -> None:
    """The error names the metric and both kinds; one of them can be selected."""
    sent(store, counter(number(1)))
    sent(store, gauge(number(2)), writer="b")
    with pytest.raises(ValueError, match=r"^metric 'rows' arrived as gauge and as sum, which"):
        query.sum_latest("rows")
    assert query.sum_latest("rows", where={"service.instance.id": "b"}) == {(): 2}


def histogram(buckets: list[int], *, start: int, time: int, bounds: list[float]) -> Metric:
    """Return a cumulative histogram named "rows" whose measurements are all 1."""
    metric = Metric(name="rows")
    metric.histogram.aggregation_temporality = CUMULATIVE
    count = sum(buckets)
    metric.histogram.data_points.add(
        start_time_unix_nano=start,
        time_unix_nano=time,
        count=count,
        sum=count,
        min=1,
        max=1,
        explicit_bounds=bounds,
        bucket_counts=buckets,
    )
    return metric


def test_histograms_are_merged_bucket_by_bucket(store: Store, query: Query) -> None:
    """Over exports, restarts, writers, and writers with other bounds."""
    sent(store, histogram([1, 0, 0], start=1, time=2, bounds=[1, 2]))
    sent(store, histogram([1, 2, 0], start=1, time=3, bounds=[1, 2]))
    sent(store, histogram([0, 0, 4], start=5, time=6, bounds=[1, 2]))
    merged = Histogram(7, 7.0, 1.0, 1.0, (1.0, 2.0), (1, 2, 4))
    assert query.sum_latest("rows") == {(): merged}
    sent(store, histogram([8, 16], start=1, time=2, bounds=[2]), writer="b")
    assert query.sum_latest("rows") == {(): Histogram(31, 31.0, 1.0, 1.0, (2.0,), (11, 20))}


def test_exponential_deltas_are_merged(store: Store, query: Query) -> None:
    """The coarser scale wins, counts stay exact."""
    for scale, offset in ((1, 2), (0, 1)):
        metric = Metric(name="rows")
        metric.exponential_histogram.aggregation_temporality = DELTA
        point = metric.exponential_histogram.data_points.add(count=3, sum=9, scale=scale)
        point.positive.offset = offset
        point.positive.bucket_counts.extend([1, 2])
        sent(store, metric)
    merged = ExponentialHistogram(6, 18.0, None, None, 0, 0, 0.0, {1: 4, 2: 2}, {})
    assert query.sum_latest("rows") == {(): merged}


def test_summaries_have_count_and_sum(store: Store, query: Query) -> None:
    """Their quantiles cannot be merged."""
    for writer in "ab":
        metric = Metric(name="rows")
        metric.summary.data_points.add(count=2, sum=3, start_time_unix_nano=1)
        sent(store, metric, writer=writer)
    assert query.sum_latest("rows") == {(): Histogram(4, 6.0, None, None, (), ())}


def test_history_comes_with_exemplars(store: Store, query: Query) -> None:
    """Every point in the order of arrival, with the span in which it was measured."""
    point = number(5, start=1, time=2)
    point.exemplars.add(as_int=5, time_unix_nano=3, trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    sent(store, counter(point))
    (series,) = query.series("rows", where={"service.instance.id": "a"})
    exemplar = Exemplar(5, 3, "01" * 16, "02" * 8, {})
    assert series.points == (Point(1, 2, 5, (exemplar,)),)
    assert (series.metric, series.kind, series.temporality) == ("rows", "sum", "cumulative")
    assert series.resource == {"service.instance.id": "a", "service.name": "etl"}


@PATIENT
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 9), st.booleans()),
        max_size=25,
    ),
    st.randoms(use_true_random=False),
)
def test_any_history_sums_to_what_happened(
    happenings: list[tuple[str, str, int, bool]], shuffle: object
) -> None:
    """Writers that count, export and restart at random, exports arriving in any order."""
    truth: Counter[str] = Counter()
    running: Counter[tuple[str, str]] = Counter()
    starts = dict.fromkeys("abc", 1)
    exports = []
    for time, (writer, pipeline, value, restarts) in enumerate(happenings, start=2):
        if restarts:
            starts[writer] = time
            running = Counter({k: v for k, v in running.items() if k[0] != writer})
        truth[pipeline] += value
        running[writer, pipeline] += value
        total = running[writer, pipeline]
        exports.append((writer, number(total, start=starts[writer], time=time, p=pipeline)))
    shuffle.shuffle(exports)  # type: ignore[attr-defined]
    with Store() as store:
        for writer, point in exports:
            sent(store, counter(point), writer=writer)
        found = Query(store.path).sum_latest("rows", by=["p"])
    assert found == {(pipeline,): count for pipeline, count in truth.items()}
