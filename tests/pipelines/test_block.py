"""`pipeline_run`: one run inside of one process."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceFlags

from etl_telemetry import guard
from etl_telemetry.pipelines import LocalRun, Run, current_run, finish_run, pipeline_run
from support.events import Event
from support.telemetry import Telemetry, labels


def counted(status: str, *, organization: str = "acme") -> dict[str, dict[object, float]]:
    """Return the metrics of one run that ended as `status`."""
    key = labels({"pipeline.name": "daily", "organization": organization, "status": status})
    return {"pipeline.executions": {key: 1}, "pipeline.execution.duration": {key: 1}}


def without_last_success(values: dict[str, dict[object, float]]) -> dict[str, object]:
    """Leave out the gauge whose value is the time."""
    return {name: points for name, points in values.items() if "last_success" not in name}


def root(seen: Telemetry) -> ReadableSpan:
    """Return the only root span."""
    return seen.span("pipeline run daily")


def test_a_run_that_succeeds(seen: Telemetry, events: list[Event]) -> None:
    """One root span, one count, one duration, two log events, a last success; all of one trace."""
    with pipeline_run(
        "daily", organization="acme", run_id=42, trigger="manual", triggered_by="7", attempt=2,
        attributes={"source.files": 3},
    ) as run:  # fmt: skip
        assert current_run() is run
        run.set_attribute("target", "warehouse")
    values = seen.values()
    (success,) = values["pipeline.last_success.timestamp"].values()
    assert run.started_ns / 1e9 <= success <= datetime.now(UTC).timestamp()
    assert without_last_success(values) == counted("success")
    span = root(seen)
    assert (span.context, span.parent, span.status.status_code) == (
        run.span_context, None, StatusCode.UNSET,
    )  # fmt: skip
    assert dict(span.attributes or {}) == {
        "source.files": 3, "target": "warehouse",
        "pipeline.name": "daily", "pipeline.organization": "acme", "pipeline.run.id": "42",
        "pipeline.status": "success", "pipeline.run.trigger": "manual",
        "pipeline.run.triggered_by": "7", "pipeline.run.attempt": 2,
    }  # fmt: skip
    fields = {
        "pipeline.name": "daily", "pipeline.organization": "acme", "pipeline.run.id": "42",
    }  # fmt: skip
    duration = events[1].fields["duration"]
    assert events == [
        Event("pipeline_run_started", "INFO", {**fields, "pipeline.run.trigger": "manual"}),
        Event(
            "pipeline_run_finished", "INFO",
            {**fields, "pipeline.status": "success", "duration": duration},
        ),
    ]  # fmt: skip
    assert {(e.trace_id, e.span_id) for e in events} == {
        (run.span_context.trace_id, run.span_context.span_id)
    }
    assert span.end_time == run.started_ns + round(float(str(duration)) * 1e9)
    assert guard.drops() == {}


def test_exemplars_lead_to_the_run(seen: Telemetry) -> None:
    """The exemplars of its count and duration carry the ids of its root span."""
    with pipeline_run("daily", organization="acme") as run:
        pass
    points = seen.points()
    for name in ("pipeline.executions", "pipeline.execution.duration"):
        (point,) = points[name].values()
        assert [(e.trace_id, e.span_id) for e in point.exemplars] == [
            (run.span_context.trace_id, run.span_context.span_id)
        ]


class BoomError(Exception):
    """What the application raises."""


ENDINGS: list[tuple[BaseException, str, str | None]] = [
    (BoomError("no"), "failed", "no"),
    (SystemExit(3), "failed", "3"),
    (SystemExit(0), "success", None),
    (SystemExit(None), "success", None),
    (KeyboardInterrupt(), "cancelled", None),
    (asyncio.CancelledError(), "cancelled", None),
    (GeneratorExit(), "cancelled", None),
]


@pytest.mark.parametrize(("error", "status", "text"), ENDINGS, ids=repr)
def test_the_exception_decides(
    seen: Telemetry, error: BaseException, status: str, text: str | None
) -> None:
    """An exception fails the run, a stop from outside cancels it; either passes unchanged."""
    with pytest.raises(type(error)) as caught, pipeline_run("daily", organization="acme"):
        raise error
    assert caught.value is error
    assert error.__context__ is None
    assert without_last_success(seen.values()) == counted(status)
    span = root(seen)
    assert span.status.description == text
    assert span.status.is_ok is (text is None)


def test_error_text_is_redacted_and_bounded(seen: Telemetry) -> None:
    """What the database says about a row stays out of the span; `error.type` names the class."""
    message = "duplicate key\nDETAIL:  Key (mail)=(ann@example.com) already exists." + "x" * 10_000
    with pytest.raises(BoomError), pipeline_run("daily", organization="acme"):
        raise BoomError(message)
    span = root(seen)
    assert "ann@example.com" not in str(span.to_json())
    assert span.status.description is not None
    assert len(span.status.description) <= 512
    assert (span.attributes or {})["error.type"] == f"{__name__}.BoomError"


def cancel(run: LocalRun) -> None:
    """Cancel it."""
    run.cancel()


@pytest.mark.parametrize(
    ("say", "error", "status"),
    [
        (cancel, None, "cancelled"),
        (cancel, BoomError(), "cancelled"),
        (lambda run: run.set_status("failed"), None, "failed"),
        (lambda run: run.set_status("lost"), BoomError(), "lost"),
        (lambda run: run.set_status("success"), BoomError(), "failed"),
        (lambda run: run.set_status("success"), None, "success"),
    ],
)
def test_the_application_decides(
    seen: Telemetry, say: Callable[[LocalRun], None], error: Exception | None, status: str
) -> None:
    """What was said about the end counts, but an exception makes a success a failure."""
    try:
        with pipeline_run("daily", organization="acme") as run:
            say(run)
            if error is not None:
                raise error
    except BoomError:
        assert error is not None
    assert without_last_success(seen.values()) == counted(status)


def test_an_unknown_status_is_counted_as_such(seen: Telemetry) -> None:
    """A status that no run can have becomes `unknown`, once."""
    with pipeline_run("daily", organization="acme") as run:
        run.set_status("finished")
    assert without_last_success(seen.values()) == counted("unknown")
    assert guard.drops() == {"unknown_status": 1}


def test_what_led_to_it_is_linked(seen: Telemetry) -> None:
    """The span that was current before, and those given, are linked from the root; no parent."""
    given = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    with trace.get_tracer("t").start_as_current_span("GET /") as request:
        with pipeline_run("daily", organization="acme", links=[Link(given)]):
            pass
        assert trace.get_current_span() is request
    span = root(seen)
    assert span.parent is None
    assert [link.context for link in span.links] == [request.get_span_context(), given]
    assert seen.span("GET /").context.trace_id != span.context.trace_id


def test_a_run_inside_of_a_run_is_its_own_trace(seen: Telemetry) -> None:
    """A run that starts another is linked from it; afterwards it is the current one again."""
    with pipeline_run("outer", organization="acme") as outer:
        with pipeline_run("daily", organization="acme") as inner:
            assert current_run() is inner
        assert current_run() is outer
    assert [link.context for link in root(seen).links] == [outer.span_context]
    assert inner.trace_id != outer.trace_id


def test_begin_in_the_past(seen: Telemetry) -> None:
    """A run that waited counts its waiting: duration and span begin where the application says."""
    begin = datetime.now(UTC) - timedelta(hours=1)
    with pipeline_run("daily", organization="acme", started_at=begin) as run:
        assert run.started_at == begin
    (point,) = seen.points()["pipeline.execution.duration"].values()
    assert 3_600 <= point.sum < 3_700
    assert root(seen).start_time == run.started_ns


def test_begin_in_the_future_costs_the_duration_only(seen: Telemetry) -> None:
    """A clock that is ahead loses the duration, not the run."""
    with pipeline_run("daily", organization="acme", started_at=datetime(2200, 1, 1, tzinfo=UTC)):
        pass
    assert sorted(seen.values()) == ["pipeline.executions", "pipeline.last_success.timestamp"]
    span = root(seen)
    assert span.start_time == span.end_time
    assert guard.drops() == {"invalid_value": 1}


def test_claim_decides_whether_it_counts(seen: Telemetry, events: list[Event]) -> None:
    """Where somebody else finished the run, this block changes nothing, and says so."""
    asked: list[str] = []

    def claim(run_id: str) -> bool:
        asked.append(run_id)
        return False

    with pipeline_run("daily", organization="acme", run_id=42, claim=claim):
        pass
    assert asked == ["42"]
    assert (seen.values(), seen.spans()) == ({}, ())
    assert [(e.name, e.level) for e in events] == [
        ("pipeline_run_started", "INFO"),
        ("pipeline_run_already_finished", "DEBUG"),
    ]


def refuse(run_id: str) -> bool:
    """Fail as a claim whose database is gone."""
    raise ConnectionError(run_id)


def test_the_error_of_a_claim_reaches_the_application(seen: Telemetry) -> None:
    """The claim is the application's code; what it raises is not ours to hide."""
    with (
        pytest.raises(ConnectionError, match="42"),
        pipeline_run("daily", organization="acme", run_id=42, claim=refuse),
    ):
        pass
    assert current_run() is None
    assert seen.values() == {}


def test_the_error_of_a_claim_does_not_hide_that_of_the_block(seen: Telemetry) -> None:
    """The exception that left the block is the one that arrives."""
    boom = BoomError()
    with (
        pytest.raises(BoomError) as caught,
        pipeline_run("daily", organization="acme", claim=refuse),
    ):
        raise boom
    assert caught.value is boom
    assert guard.drops() == {"internal_error": 1}


def test_finished_inside_of_its_block(seen: Telemetry) -> None:
    """A run that was finished by name inside of its own block counts once."""
    with pipeline_run("daily", organization="acme") as run:
        assert finish_run(
            run.id, "cancelled", name="daily", organization="acme", started_at=run.started_at
        )
    assert without_last_success(seen.values()) == counted("cancelled")
    assert len(seen.spans()) == 1


@pipeline_run("daily", organization="acme")
def plain(a: int, *, b: int = 0) -> tuple[int, Run | None]:
    """Return what it was given."""
    return a + b, current_run()


@pipeline_run("daily", organization="acme")
async def coroutine(a: int, *, b: int = 0) -> tuple[int, Run | None]:
    """Return what it was given."""
    await asyncio.sleep(0)
    return a + b, current_run()


class Holder:
    @pipeline_run("daily", organization="acme")
    def method(self, a: int, *, b: int = 0) -> tuple[int, Run | None]:
        return a + b, current_run()

    @pipeline_run("daily", organization="acme")
    @classmethod
    def on_class(cls, a: int, *, b: int = 0) -> tuple[int, Run | None]:
        return a + b, current_run()

    @pipeline_run("daily", organization="acme")
    @staticmethod
    def static(a: int, *, b: int = 0) -> tuple[int, Run | None]:
        return a + b, current_run()


@pytest.mark.parametrize(
    "call", [plain, coroutine, Holder().method, Holder.on_class, Holder.static]
)
def test_each_call_of_a_decorated_function_is_a_run(
    seen: Telemetry, call: Callable[..., object]
) -> None:
    """Two calls are two runs, with ids of their own; results and arguments pass."""
    runs = []
    for _ in range(2):
        result = call(1, b=2)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        assert isinstance(result, tuple)
        assert result[0] == 3
        runs.append(result[1])
    assert runs[0].id != runs[1].id
    assert [span.context for span in seen.spans()] == [run.span_context for run in runs]


def test_decorated_function_keeps_its_metadata() -> None:
    """Name, docstring, signature and kind are those of the function."""
    assert (plain.__name__, plain.__doc__) == ("plain", "Return what it was given.")
    assert (
        str(inspect.signature(plain)) == "(a: 'int', *, b: 'int' = 0) -> 'tuple[int, Run | None]'"
    )
    assert inspect.iscoroutinefunction(coroutine)


def test_asyncio_cancellation_cancels_the_run(seen: Telemetry) -> None:
    """A cancelled task ends its run as cancelled, with its duration."""

    @pipeline_run("daily", organization="acme")
    async def forever() -> None:
        await asyncio.sleep(3_600)

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert without_last_success(seen.values()) == counted("cancelled")


@pytest.mark.parametrize("thing", [3, object, None])
def test_what_is_no_function_is_left_as_it_is(seen: Telemetry, thing: object) -> None:
    """Decorating something else is counted, and changes nothing."""
    assert pipeline_run("daily", organization="acme")(thing) is thing  # type: ignore[arg-type]
    assert guard.drops() == {"invalid_value": 1}


def test_generator_functions_are_left_as_they_are(seen: Telemetry) -> None:
    """A generator function is not a call that ends: it is counted as a mistake and left alone."""

    def rows() -> Iterator[int]:
        yield 1

    assert pipeline_run("daily", organization="acme")(rows) is rows
    assert guard.drops() == {"invalid_value": 1}


def test_mistakes_are_logged_with_the_callers_line(
    seen: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A naive begin is read as local time; the log names the line that passed it."""
    naive = datetime.now()  # noqa: DTZ005 - the mistake
    with pipeline_run("daily", organization="acme", started_at=naive) as run:
        line = sys._getframe().f_lineno - 1
    assert run.started_at == naive.astimezone()
    (record,) = caplog.records
    assert (record.detail, record.caller) == (  # type: ignore[attr-defined]
        "started_at has no time zone: it was read as local time",
        f"{__file__}:{line}",
    )
