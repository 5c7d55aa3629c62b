"""The write side: bounds, transactions, files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from etl_telemetry.viewer import flatten, flatten_metrics
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.schema import StoreError
from etl_telemetry.viewer.store import Store
from support.otlp import TRACE_ID, logs, metrics, span, traces, value


def one_span(number: int, **fields: object) -> flatten.Batch:
    """Return a batch with one span."""
    return flatten.spans(traces(span(span_id=f"{number:016x}", name=f"s{number}"), **fields))


def gauge(name: str, number: int, time: int = 1) -> flatten.Batch:
    """Return a batch with one point."""
    metric = Metric(name=name)
    metric.gauge.data_points.add(as_int=number, time_unix_nano=time)
    return flatten_metrics.metrics(metrics(metric))


def test_a_span_that_is_sent_again_is_not_doubled(store: Store, query: Query) -> None:
    """The last one wins, and how often it came is told: that finds a span ended twice."""
    store.add(flatten.spans(traces(span(name="first"), service_name="a")))
    store.add(flatten.spans(traces(span(name="second"), service_name="b")))
    (found,) = query.spans()
    assert (found.name, found.service, found.received) == ("second", "b", 2)


def test_a_log_batch_that_is_sent_again_is_doubled(store: Store, query: Query) -> None:
    """Log records have no id, so a resend cannot be told from two equal records."""
    batch = flatten.logs(logs(flatten.LogRecord(body=value("hi"))))
    store.add(batch)
    store.add(batch)
    assert [record.body for record in query.logs()] == ["hi", "hi"]


def test_the_oldest_rows_are_dropped_and_counted() -> None:
    """Each table keeps its newest rows; what was dropped can be asked for."""
    with Store(max_rows=3) as store:
        query = Query(store.path)
        for number in range(1, 6):
            store.add(one_span(number))
            store.add(flatten.logs(logs(flatten.LogRecord(body=value(number)))))
            store.add(gauge("size", number, time=number))
        store.add(one_span(5))
        assert [found.name for found in query.spans()] == ["s3", "s4", "s5"]
        assert [record.body for record in query.logs()] == [3, 4, 5]
        assert [point.value for point in query.series("size")[0].points] == [3, 4, 5]
        assert query.sum_latest("size") == {(): 5}
        assert query.counts() == {
            "spans": 3,
            "logs": 3,
            "series": 1,
            "points": 3,
            "dropped_spans": 2,
            "dropped_logs": 2,
            "dropped_series": 0,
            "dropped_points": 2,
        }


def test_series_are_bounded_too(tmp_path: Path) -> None:
    """New ones are dropped and counted, also after the file was opened again."""
    path = tmp_path / "t.sqlite3"
    for names in ("abc", "abd"):
        with Store(path, max_rows=2) as store:
            for name in names:
                store.add(gauge(name, 1))
    query = Query(path)
    assert [metric.name for metric in query.metrics()] == ["a", "b"]
    assert query.counts()["dropped_series"] == 2


def test_dropping_history_changes_no_sum() -> None:
    """Totals are kept apart from the points, deltas and restarts included."""
    with Store(max_rows=2) as store:
        for number in range(1, 11):
            metric = Metric(name="rows")
            metric.sum.aggregation_temporality = 1
            metric.sum.is_monotonic = True
            metric.sum.data_points.add(as_int=number, time_unix_nano=number)
            restarts = Metric(name="restarts")
            restarts.sum.aggregation_temporality = 2
            restarts.sum.is_monotonic = True
            restarts.sum.data_points.add(
                as_int=number, start_time_unix_nano=number, time_unix_nano=number
            )
            store.add(flatten_metrics.metrics(metrics(metric, restarts)))
        query = Query(store.path)
        assert (query.sum_latest("rows"), query.sum_latest("restarts")) == ({(): 55}, {(): 55})
        assert query.counts()["points"] == 2


def test_a_batch_is_written_whole_or_not_at_all(store: Store, query: Query) -> None:
    """After a failure in the middle nothing of it is there, and the next batch is complete."""
    broken = flatten.Batch()
    broken.spans = [*one_span(1, service_name="new").spans, *one_span(2).spans]
    broken.spans[1][1][0] = broken.spans[1][1][0]._replace(name=None)  # type: ignore[arg-type]
    with pytest.raises(StoreError) as caught:
        store.add(broken)
    assert str(caught.value) == (
        f"cannot write to the store {store.path}: NOT NULL constraint failed: spans.name"
    )
    assert query.counts()["spans"] == 0
    store.add(one_span(1, service_name="new"))
    assert [found.service for found in query.spans()] == ["new"]


def test_another_process_can_read(store: Store) -> None:
    """WAL: while this process has the file open for writing."""
    store.add(one_span(1))
    code = (
        "import sys; from etl_telemetry.viewer.query import Query;"
        "print([s.name for s in Query(sys.argv[1]).spans()])"
    )
    command = [sys.executable, "-c", code, str(store.path)]
    assert subprocess.check_output(command, text=True, timeout=60) == "['s1']\n"


def test_two_stores_may_write_one_file(tmp_path: Path) -> None:
    """Two processes, here two stores: writers and series get the same ids."""
    path = tmp_path / "t.sqlite3"
    with Store(path) as one, Store(path) as other:
        for number, store in enumerate([one, other, one, other]):
            store.add(one_span(number + 1, service_name="a"))
            store.add(gauge("size", number, time=number))
    query = Query(path)
    assert query.services() == ["", "a"]
    assert (query.counts()["spans"], query.counts()["series"]) == (4, 1)
    assert query.sum_latest("size") == {(): 3}


def test_a_file_is_kept_and_a_temporary_one_is_not(tmp_path: Path) -> None:
    """What the user named survives closing; opening it again goes on with it."""
    path = tmp_path / "t.sqlite3"
    with Store(path) as store:
        store.add(one_span(1))
    with Store(path) as store:
        store.add(one_span(2))
    assert [found.trace_id for found in Query(path).spans()] == [TRACE_ID, TRACE_ID]
    with Store() as store:
        folder = store.path.parent
        assert folder.is_dir()
    assert not folder.exists()
    store.close()


def test_a_forked_child_does_not_remove_the_parents_store() -> None:
    """A child that ends runs the interpreter's exit hooks, which clean up temporary files."""
    code = """if True:
        import os, sys
        from etl_telemetry.viewer.store import Store
        store = Store()
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        print(store.path.exists())
        store.close()
        print(store.path.exists())
    """
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, text=True, timeout=60) == "True\nFalse\n"


def test_a_store_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    """A missing folder, a folder, a file that is something else, a later version."""
    advice = "give a file in a folder that exists and that you may write to"
    missing = tmp_path / "no" / "t.sqlite3"
    other = tmp_path / "notes.txt"
    other.write_text("not a database, but long enough to be looked at\n" * 50)
    reasons = {
        missing: "unable to open database file",
        tmp_path: "unable to open database file",
        other: "file is not a database",
    }
    for path, reason in reasons.items():
        with pytest.raises(StoreError) as caught:
            Store(path)
        assert str(caught.value) == (
            f"cannot open the store {path} for writing: {reason}; {advice}"
        )
    later = tmp_path / "later.sqlite3"
    with sqlite3.connect(later) as db:
        db.execute("CREATE TABLE x (y)")
        db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(StoreError) as caught:
        Store(later)
    assert str(caught.value) == (
        f"the store {later} must be a file of version 1 of this viewer, got version 7; "
        "give another file, or remove this one"
    )


def test_a_closed_store_refuses(store: Store) -> None:
    """Writing after `close` is an error of the store, which the receiver answers with 503."""
    store.close()
    with pytest.raises(StoreError, match="Cannot operate on a closed database"):
        store.add(one_span(1))
