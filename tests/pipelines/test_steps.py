"""Steps and connector operations: spans, rows, counts, log fields."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from etl_telemetry import guard
from etl_telemetry.catalogue import ConnectorStatus
from etl_telemetry.errors import AuditError
from etl_telemetry.logs import current_fields
from etl_telemetry.pipelines import begin_run, connector_operation, step
from support.events import Event, kept
from support.telemetry import Telemetry, labels, telemetry

LOAD = labels({"pipeline.name": "daily", "step.type": "load"})
FETCH = {"connector.type": "http", "operation": "fetch"}


def load_and_fail(error: BaseException, **rows: int) -> None:
    """Load some rows, then fail."""
    with step("load") as load:
        load.add_rows(**rows)
        raise error


def test_a_step_of_a_run(seen: Telemetry, events: list[Event]) -> None:
    """Its span is part of the run's trace, with the final rows, which are counted once."""
    with begin_run("daily", organization="acme", run_id=42) as run:
        with step("load") as load:
            assert current_fields()["step.type"] == "load"
            load.add_rows(read=10, processed=4, rejected=1)
            load.add_rows(written=3, skipped=2)
            load.heartbeat()
            assert not [name for name in seen.values() if name.startswith("data.")]
        assert "step.type" not in current_fields()
    span = seen.span("step load")
    assert (span.context.trace_id, span.parent) == (run.span_context.trace_id, run.span_context)
    assert dict(span.attributes or {}) == {
        "step.type": "load", "pipeline.name": "daily", "pipeline.organization": "acme",
        "pipeline.run.id": "42", "step.rows.read": 10, "step.rows.processed": 7,
        "step.rows.rejected": 1, "step.rows.skipped": 2,
    }  # fmt: skip
    counted = {name: at for name, at in seen.values().items() if name.startswith("data.")}
    assert counted == {
        "data.rows.read": {LOAD: 10}, "data.rows.processed": {LOAD: 7},
        "data.rows.rejected": {LOAD: 1}, "data.rows.skipped": {LOAD: 2},
    }  # fmt: skip
    assert [event.name for event in events] == ["pipeline_run_started"]
    assert guard.drops() == {}


def test_rows_of_a_failed_step_stay_on_its_span(seen: Telemetry) -> None:
    """The retry does them again, and only what it counts is true."""
    with begin_run("daily", organization="acme"):
        with pytest.raises(ValueError, match="broken"):
            load_and_fail(ValueError("broken"), read=5, processed=5)
        with step("load") as load:
            load.add_rows(read=8, processed=8)
    failed, good = seen.spans()
    assert (failed.attributes or {})["step.rows.read"] == 5
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "broken")
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert [event.name for event in failed.events] == ["exception"]
    assert (good.attributes or {})["step.rows.read"] == 8
    assert seen.values() == {"data.rows.read": {LOAD: 8}, "data.rows.processed": {LOAD: 8}}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), SystemExit(1)])
def test_rows_of_a_stopped_step_are_not_counted(seen: Telemetry, error: BaseException) -> None:
    """A step that was stopped from outside did not end, so its rows do not count."""
    with pytest.raises(type(error)):
        load_and_fail(error, read=5)
    assert seen.values() == {}
    assert (seen.span("step load").attributes or {})["step.rows.read"] == 5


def test_rows_of_a_closed_generator_count(seen: Telemetry) -> None:
    """A consumer that stops early took what it took."""

    def rows() -> Iterator[int]:
        with step("extract") as extract:
            for number in range(100):
                extract.add_rows(read=1, processed=1)
                yield number

    generator = rows()
    assert list(islice(generator, 3)) == [0, 1, 2]
    generator.close()  # type: ignore[attr-defined]
    key = labels({"pipeline.name": "unknown", "step.type": "extract"})
    assert seen.values() == {"data.rows.read": {key: 3}, "data.rows.processed": {key: 3}}
    assert seen.span("step extract").status.status_code is StatusCode.UNSET


def test_without_a_run_the_pipeline_is_unknown(seen: Telemetry) -> None:
    """Steps and operations work anywhere."""
    with step("load") as load, connector_operation("http", "fetch"):
        load.add_rows(processed=1)
    key = labels({"pipeline.name": "unknown", "step.type": "load"})
    assert seen.values()["data.rows.processed"] == {key: 1}
    assert dict(seen.span("step load").attributes or {}) == {
        "step.type": "load", "pipeline.name": "unknown", "step.rows.processed": 1,
    }  # fmt: skip
    assert dict(seen.span("connector fetch").attributes or {}) == {
        "connector.type": "http", "connector.operation": "fetch", "connector.status": "success",
        "pipeline.name": "unknown",
    }  # fmt: skip


def test_missing_rows_are_told(seen: Telemetry, events: list[Event]) -> None:
    """Rows that were read and went nowhere give one warning with the numbers."""
    with begin_run("daily", organization="acme", run_id=42), step("load") as load:
        load.add_rows(read=10, processed=7, rejected=1)
    assert events[1:] == [
        Event(
            "rows_mismatch", "WARNING",
            {
                "step.type": "load", "pipeline.name": "daily", "pipeline.organization": "acme",
                "pipeline.run.id": "42", "step.rows.read": 10, "step.rows.processed": 7,
                "step.rows.rejected": 1,
            },
        )
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [{"processed": 3}, {"read": 0}, {"read": 3, "skipped": 3}, {}])
def test_complete_rows_are_no_mismatch(
    seen: Telemetry, events: list[Event], rows: dict[str, int]
) -> None:
    """A step that does not say what it read, or says all, gives no warning."""
    with step("load") as load:
        load.add_rows(**rows)
    assert events == []


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={word: st.integers(0, 1000) for word in ("read", "processed", "rejected")},
        ),
        max_size=10,
    )
)
def test_rows_add_up(calls: list[dict[str, int]]) -> None:
    """However the rows are handed over, span and metrics have the sums."""
    seen = telemetry()
    with step("load") as load:
        for rows in calls:
            load.add_rows(**rows)
    sums = {word: sum(rows.get(word, 0) for rows in calls) for rows in calls for word in rows}
    span = seen.span("step load").attributes or {}
    assert {k: v for k, v in span.items() if "rows" in k} == {
        f"step.rows.{word}": number for word, number in sums.items()
    }
    key = labels({"pipeline.name": "unknown", "step.type": "load"})
    assert seen.values() == {
        f"data.rows.{word}": {key: number} for word, number in sums.items() if number
    }


class Yielding(dict[str, int]):
    """Let another thread run between reading and writing."""

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key, default)
        time.sleep(0)
        return value


def test_rows_from_many_threads_add_up(seen: Telemetry) -> None:
    """Threads that share a step lose no row."""
    with step("load") as load, ThreadPoolExecutor(8) as pool:
        load._rows = Yielding()
        for _ in range(8):
            pool.submit(lambda: [load.add_rows(processed=1) for _ in range(50)])
    assert (seen.span("step load").attributes or {})["step.rows.processed"] == 400


def test_wrong_rows_cost_themselves_only(seen: Telemetry) -> None:
    """Negative, broken and absurd numbers are left out, and both words for one thing count once."""
    with step("load") as load:
        load.add_rows(read=-1, processed=2, rejected=float("nan"))  # type: ignore[arg-type]
        load.add_rows(processed=1, written=100)
        load.add_rows(skipped=10**12)
        load.add_rows(skipped=1)
    assert dict(seen.span("step load").attributes or {}) == {
        "step.type": "load", "pipeline.name": "unknown", "step.rows.processed": 3,
        "step.rows.skipped": 10**12,
    }  # fmt: skip
    assert guard.drops() == {"invalid_value": 4}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "success"),
        (ValueError(), "error"),
        (KeyboardInterrupt(), "error"),
        (asyncio.CancelledError(), "error"),
        (GeneratorExit(), "success"),
    ],
)
def test_outcome_of_a_connector_operation(
    seen: Telemetry, error: BaseException | None, status: str
) -> None:
    """An exception makes it an error, whose duration counts too."""
    leaving = nullcontext() if error is None else pytest.raises(type(error))
    run = begin_run("daily", organization="acme", run_id=42)
    with leaving, run, connector_operation("http", "fetch"):
        if error is not None:
            raise error
    key = labels({**FETCH, "status": status})
    assert seen.values() == {
        "connector.operations": {key: 1}, "connector.operation.duration": {key: 1},
    }  # fmt: skip
    attributes = dict(seen.span("connector fetch").attributes or {})
    attributes.pop("error.type", None)
    assert attributes == {
        "connector.type": "http", "connector.operation": "fetch", "connector.status": status,
        "pipeline.name": "daily", "pipeline.run.id": "42",
    }  # fmt: skip


@pytest.mark.parametrize("said", ["error", ConnectorStatus.ERROR])
def test_an_operation_can_fail_without_an_exception(seen: Telemetry, said: str) -> None:
    """A refused request is an error that the application knows of."""
    with connector_operation("http", "fetch") as operation:
        operation.set_status(said)
    assert list(seen.values()["connector.operations"]) == [labels({**FETCH, "status": "error"})]


def test_exemplars_lead_to_the_operation(seen: Telemetry) -> None:
    """The exemplar of its duration carries the id of its span."""
    with connector_operation("http", "fetch"):
        pass
    (point,) = seen.points()["connector.operation.duration"].values()
    assert [exemplar.span_id for exemplar in point.exemplars] == [
        seen.span("connector fetch").context.span_id
    ]


def test_the_use_of_credentials_is_audited_before_it_happens(seen: Telemetry) -> None:
    """The event names the connector and the operation, also where that fails."""
    with kept("etl_telemetry.audit", logging.INFO) as written:
        with (  # noqa: PT012 - the order is what is proved
            pytest.raises(ConnectionError),
            connector_operation("sql", "read", credentials=7),
        ):
            assert [event.name for event in written] == ["connector_credentials_used"]
            raise ConnectionError
        with connector_operation("sql", "read"):
            pass
    (event,) = written
    assert (event.fields["audit.resource.type"], event.fields["audit.resource.id"]) == (
        "connector", "7",
    )  # fmt: skip
    assert event.fields["audit.details"] == {"connector_type": "sql", "operation": "read"}


def test_credentials_are_not_used_unaudited(seen: Telemetry) -> None:
    """Where the event cannot be written the block does not begin."""
    with pytest.raises(AuditError), connector_operation("sql", "read", credentials=b"7"):  # type: ignore[arg-type]
        pytest.fail("the credentials were used")
