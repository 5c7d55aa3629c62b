"""Runs, put together from what has arrived: also while nothing of them has ended."""

from __future__ import annotations

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from etl_telemetry.viewer import flatten
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.records import Run, RunningTask
from etl_telemetry.viewer.store import Store
from support.otlp import TRACE_ID, ask, logs, pairs, span, traces, value

RUN = {"pipeline.run.id": "7", "pipeline.name": "daily", "pipeline.organization": "acme"}
TASK, OTHER = "00000000000000aa", "00000000000000bb"


def tell(store: Store, event: str, time: int, *, span_id: str = "", **more: object) -> None:
    """Let a log record of the run arrive."""
    attributes = {**RUN, **{name.replace("_", ".", 1): item for name, item in more.items()}}
    record = LogRecord(
        body=value(event), time_unix_nano=time, trace_id=bytes.fromhex(TRACE_ID),
        span_id=bytes.fromhex(span_id), attributes=pairs(attributes),
    )  # fmt: skip
    store.add(flatten.logs(logs(record)))


def ended(store: Store, span_id: str, start: int, end: int, **more: object) -> None:
    """Let a span of the run arrive."""
    attributes = {**RUN, **{name.replace("_", "."): item for name, item in more.items()}}
    parent = "" if "pipeline.status" in attributes else TASK
    store.add(
        flatten.spans(
            traces(
                span(span_id=span_id, parent=parent, start=start, end=end, attributes=attributes)
            )
        )
    )


def run(**facts: object) -> Run:
    """Return a run with these facts, else as it is at its begin."""
    usual = {
        "run_id": "7", "trace_id": TRACE_ID, "name": "daily", "organization": "acme",
        "status": "running", "started_ns": 100, "ended_ns": None, "heard_ns": 100, "spans": 0,
        "running": (),
    }  # fmt: skip
    return Run(**{**usual, **facts})  # type: ignore[arg-type]


def test_a_run_is_there_from_its_begin_to_its_end(store: Store) -> None:
    """What runs in it is known from log records; the root span says how it ended."""
    query = Query(store.path)
    assert query.runs() == []
    tell(store, "pipeline_run_started", 100)
    assert query.runs() == [run()]
    tell(store, "task_started", 200, span_id=TASK, task_id="t1", task_name="shop.extract")
    tell(store, "task_started", 300, span_id=OTHER, task_id="t2", task_name="shop.load")
    first = RunningTask("shop.extract", "t1", TASK, 200)
    second = RunningTask("shop.load", "t2", OTHER, 300)
    assert query.runs() == [run(heard_ns=300, running=(first, second))]
    ended(store, TASK, 200, 400)
    assert query.runs(status="running") == [run(heard_ns=400, spans=1, running=(second,))]
    ended(store, "00000000000000cc", 50, 500, pipeline_status="success")
    over = run(status="success", started_ns=50, ended_ns=500, heard_ns=500, spans=2)
    assert query.runs() == [over]
    assert query.runs(status="running") == []
    assert query.runs(limit=0) == []


def test_without_log_records_the_spans_inside_tell_of_a_run(store: Store) -> None:
    """An application that exports no log records."""
    ended(store, OTHER, 100, 200)
    assert Query(store.path).runs() == [run(heard_ns=200, spans=1)]


def test_without_spans_the_log_record_tells_the_end(store: Store) -> None:
    """An application that exports no traces, or a root span that is still under way."""
    tell(store, "pipeline_run_started", 100)
    tell(store, "pipeline_run_finished", 900, pipeline_status="failed")
    assert Query(store.path).runs() == [run(status="failed", ended_ns=900, heard_ns=900)]


def test_what_only_quotes_a_run_is_none(store: Store) -> None:
    """The attribute counts, not the text of another one."""
    item = span(attributes={"note": '"pipeline.run.id"'})
    store.add(flatten.spans(traces(item)))
    assert Query(store.path).runs() == []


@pytest.mark.parametrize("status", ["running", "success"])
def test_the_api_gives_them_as_json(status: str, store: Store, receiver: Receiver) -> None:
    """Times as text, as everywhere."""
    tell(store, "pipeline_run_started", 1_795_353_064_769_941_842)
    found = ask(receiver.address, f"/api/v1/runs?status={status}")
    expected = {
        "run_id": "7", "trace_id": TRACE_ID, "name": "daily", "organization": "acme",
        "status": "running", "started_ns": "1795353064769941842", "ended_ns": None,
        "heard_ns": "1795353064769941842", "spans": 0, "running": [],
    }  # fmt: skip
    assert found == {"runs": [expected] if status == "running" else []}
