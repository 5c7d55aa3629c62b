"""A run's ids, its header, and how it is the current one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from etl_telemetry import guard, pipelines
from etl_telemetry.logs import current_fields
from etl_telemetry.pipelines import Run, begin_run, current_run, pipeline_run
from support.hostile import anything
from support.telemetry import Telemetry

LINK = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(1))
RUN = Run(
    id="42", name="daily", organization="acme", started_ns=1_767_225_600_000_001_000,
    trigger="api", triggered_by="7", attempt=2, links=(LINK,),
)  # fmt: skip


def begun(run_id: object) -> Run:
    """Return a run with this id."""
    with begin_run("daily", organization="acme", run_id=run_id) as run:  # type: ignore[arg-type]
        return run


def test_ids_derive_from_the_run_id() -> None:
    """Trace and root span ids are hashes of the run id, so any process can name them."""
    assert RUN.trace_id == hashlib.sha256(b"etl-telemetry/run/trace/42").hexdigest()[:32]
    assert RUN.span_context == SpanContext(
        int(RUN.trace_id, 16),
        int(hashlib.sha256(b"etl-telemetry/run/span/42").hexdigest()[:16], 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState([("etl", "run")]),
    )


def test_every_span_of_a_run_has_the_mark_of_runs(seen: Telemetry) -> None:
    """A gateway keeps runs by the trace state of each span, also of those that know no run."""
    tracer = trace.get_tracer("a database client")
    with pipeline_run("daily", organization="acme"), tracer.start_as_current_span("step"):
        tracer.start_span("SELECT").end()
    tracer.start_span("elsewhere").end()
    marked = {span.name: dict(span.context.trace_state) for span in seen.spans()}
    assert marked == {
        "SELECT": {"etl": "run"},
        "step": {"etl": "run"},
        "pipeline run daily": {"etl": "run"},
        "elsewhere": {},
    }


def test_ids_are_the_same_in_another_process() -> None:
    """Another interpreter, with another hash seed, finds the same trace."""
    script = (
        "from etl_telemetry.pipelines import Run;"
        "print(Run(id='42', name='x', organization='y', started_ns=0).trace_id)"
    )
    shown = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert shown.strip() == RUN.trace_id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (42, "42"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("é" * 500, "é" * 500),
    ],
)
def test_the_same_id_gives_the_same_run(seen: Telemetry, one: object, other: object) -> None:
    """An id and its text name the same run."""
    assert begun(one).id == begun(other).id
    assert begun(one).span_context == begun(other).span_context
    assert guard.drops() == {}


def test_long_ids_stay_different(seen: Telemetry) -> None:
    """Ids that differ after the 128th character are not cut to the same one."""
    one, other = begun("x" * 200 + "1"), begun("x" * 200 + "2")
    assert (len(one.id), len(other.id)) == (128, 128)
    assert one.trace_id != other.trace_id
    assert (begun(one.id).id, begun(one.id).trace_id) == (one.id, one.trace_id)


def test_header_carries_the_whole_run() -> None:
    """What one process writes is what another reads."""
    assert Run.from_header(RUN.to_header()) == RUN
    assert RUN.started_at == datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)


def test_header_is_small_and_ascii() -> None:
    """The longest names in the worst script fit, and survive a transport that knows ASCII only."""
    wide = "\U0001f600" * 200
    run = Run(
        id="\U0001f600" * 128, name=wide, organization=wide, started_ns=2**63 - 1,
        trigger=wide, triggered_by=wide, attempt=2**63 - 1, links=(LINK,) * 16,
    )  # fmt: skip
    header = run.to_header()
    assert header.isascii()
    assert len(header) <= 16_384
    assert Run.from_header(header) == run


GOOD = {"v": 1, "id": "1", "name": "n", "organization": "o", "started_ns": 1}


@pytest.mark.parametrize(
    "header",
    [
        "", "{", "null", "[]", "1", '"x"', "[" * 10_000, b"\xff", 3, object(), "x" * 20_000,
        *(json.dumps({**GOOD, **wrong}) for wrong in (
            {"v": 2}, {"v": "1"}, {"v": None}, {"id": ""}, {"id": 1}, {"id": "x" * 129},
            {"name": None}, {"name": "x" * 201}, {"organization": []}, {"started_ns": -1},
            {"started_ns": "1"}, {"started_ns": None}, {"started_ns": 1e300},
        )),
        json.dumps({key: value for key, value in GOOD.items() if key != "v"}),
    ],
)  # fmt: skip
def test_garbage_is_no_run(seen: Telemetry, header: object) -> None:
    """A header that cannot be read gives no run, and that is counted."""
    assert Run.from_header(header) is None
    assert guard.drops() == {"invalid_value": 1}


def test_no_header_is_not_garbage(seen: Telemetry) -> None:
    """A message without the header is no mistake."""
    assert Run.from_header(None) is None
    assert guard.drops() == {}


def test_unreadable_details_of_a_header_are_left_out(seen: Telemetry) -> None:
    """Unknown fields, wrong details and broken links cost themselves only."""
    document = {
        **GOOD, "name": "a\ud800", "trigger": 5, "triggered_by": "", "attempt": -1, "later": {},
        "links": ["nonsense", 3, f"{0:032x}-{0:016x}-01", f"{0xA1:032x}-{0xB2:016x}-01"],
    }  # fmt: skip
    assert Run.from_header(json.dumps(document)) == Run(
        id="1", name="a?", organization="o", started_ns=1, links=(LINK,)
    )


@given(st.text() | st.binary() | anything())
def test_from_header_never_raises(header: object) -> None:
    """Whatever arrives in a message, reading it does not raise."""
    assert Run.from_header(header) is None


def test_attach_makes_the_run_current(seen: Telemetry) -> None:
    """Inside: the run, its root as current span, its log fields; afterwards: nothing of it."""
    assert current_run() is None
    token = pipelines.attach(RUN)
    assert current_run() is RUN
    assert trace.get_current_span().get_span_context() == RUN.span_context
    assert dict(current_fields()) == {
        "pipeline.name": "daily", "pipeline.organization": "acme", "pipeline.run.id": "42",
    }  # fmt: skip
    pipelines.detach(token)
    assert current_run() is None
    assert not trace.get_current_span().get_span_context().is_valid
    assert dict(current_fields()) == {}


def test_attach_keeps_a_span_of_the_same_trace(seen: Telemetry) -> None:
    """The span of a task that is part of the run's trace stays the parent of what follows."""
    token = pipelines.attach(RUN)
    with trace.get_tracer("t").start_as_current_span("task") as task:
        inner = pipelines.attach(RUN)
        assert trace.get_current_span() is task
        pipelines.detach(inner)
        at_root = pipelines.attach(RUN, at_root=True)
        assert trace.get_current_span().get_span_context() == RUN.span_context
        pipelines.detach(at_root)
    pipelines.detach(token)


def test_detach_heals_a_leak(seen: Telemetry) -> None:
    """What something else left attached inside is gone after the run (trap 3)."""
    token = pipelines.attach(RUN)
    context_api.attach(context_api.set_value("leaked", 1))
    pipelines.detach(token)
    assert context_api.get_value("leaked") is None


def test_attach_of_something_else_attaches_nothing(seen: Telemetry) -> None:
    """A wrong value is counted; its token can be detached."""
    token = pipelines.attach("42")  # type: ignore[arg-type]
    assert current_run() is None
    pipelines.detach(token)
    pipelines.detach(None)  # type: ignore[arg-type]
    assert guard.drops() == {"invalid_value": 1}


def test_threads_do_not_see_the_run_of_another(seen: Telemetry) -> None:
    """A thread starts without the run, and a run in it does not reach its starter."""
    found: list[Run | None] = []

    def look() -> None:
        found.append(current_run())
        with begin_run("other", organization="acme"):
            found.append(current_run())

    with begin_run("daily", organization="acme") as run:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(60)
        found.append(current_run())
    assert [None if r is None else r.name for r in found] == [None, "other", "daily"]
    assert found[2] is run


def test_asyncio_tasks_follow_the_run_in_which_they_began(seen: Telemetry) -> None:
    """Tasks copy the context: each sees its own run, whatever the others do meanwhile."""

    async def work(name: str) -> str:
        with begin_run(name, organization="acme"):
            await asyncio.sleep(0)
            return (await asyncio.create_task(asyncio.to_thread(current_run))).name  # type: ignore[union-attr]

    async def main() -> list[str]:
        return list(await asyncio.gather(*(work(f"p{n}") for n in range(5))))

    assert asyncio.run(main()) == [f"p{n}" for n in range(5)]


def test_copied_context_may_be_left_elsewhere(
    seen: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A generator closed in another context than it began in neither raises nor logs."""

    def rows() -> object:
        with begin_run("daily", organization="acme"):
            yield 1

    async def main() -> None:
        generator = rows()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(next, generator).result(60)  # type: ignore[arg-type]
        generator.close()  # type: ignore[attr-defined]

    caplog.set_level("INFO", "opentelemetry")
    asyncio.run(main())
    assert caplog.records == []
