"""`span()`: current inside, takes any value, never raises."""

from __future__ import annotations

import contextvars
import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from etl_telemetry import guard
from etl_telemetry.tracing import settings as tracing_settings
from etl_telemetry.tracing import span, traced
from etl_telemetry.tracing.place import Place
from support.hostile import HOSTILE, Unprintable, anything
from support.telemetry import Telemetry, telemetry


def test_block(seen: Telemetry) -> None:
    """Name, kind, attributes by keyword and by mapping; current inside and not after."""
    with span("read", attributes={"file.name": "a"}, kind=SpanKind.CLIENT, rows=3, x_y=None) as it:
        assert trace.get_current_span().get_span_context() == it.get_span_context()
        it.set_attribute("later", [1, 2])
    assert trace.get_current_span() is trace.INVALID_SPAN
    (found,) = seen.spans()
    assert (found.name, found.kind, found.instrumentation_scope.name) == (  # type: ignore[union-attr]
        "read", SpanKind.CLIENT, "etl_telemetry",
    )  # fmt: skip
    assert found.attributes == {"file.name": "a", "rows": 3, "later": (1, 2)}


def test_block_can_be_entered_again(seen: Telemetry) -> None:
    """One after the other, and inside of itself: each time another span."""
    block = span("x")
    with block:
        pass
    with block as outer, block:
        pass
    assert [found.name for found in seen.spans()] == ["x", "x", "x"]
    assert seen.spans()[1].parent == outer.get_span_context()


def test_exit_without_enter_does_nothing() -> None:
    """A block that was never entered has nothing to end."""
    span("x").__exit__(None, None, None)


def test_stock_attribute_cleaning_logs_under_the_span_lock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The trap (2): a value that the SDK does not know is logged while the span is locked."""
    locked = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            locked.append(stock._lock.locked())  # type: ignore[attr-defined]

    stock = TracerProvider(shutdown_on_exit=False).get_tracer("stock").start_span("x")
    logger, watch = logging.getLogger("opentelemetry.attributes"), Watch()
    logger.addHandler(watch)
    stock.set_attribute("a", object())  # type: ignore[arg-type]
    logger.removeHandler(watch)
    assert locked == [True]
    caplog.clear()


CALLS: dict[str, Callable[[Any, Any], object]] = {
    "set_attribute": lambda it, x: it.set_attribute("a", x),
    "set_attribute, key": lambda it, x: it.set_attribute(x, 1),
    "set_attributes": lambda it, x: it.set_attributes(x),
    "set_attributes, value": lambda it, x: it.set_attributes({"a": x}),
    "add_event": lambda it, x: it.add_event(x),
    "add_event, attributes": lambda it, x: it.add_event("e", x),
    "add_event, value": lambda it, x: it.add_event("e", {"a": x}),
    "add_event, time": lambda it, x: it.add_event("e", timestamp=x),
    "add_link": lambda it, x: it.add_link(x),
    "add_link, attributes": lambda it, x: it.add_link(it.get_span_context(), {"a": x}),
    "update_name": lambda it, x: it.update_name(x),
    "set_status": lambda it, x: it.set_status(x),
    "set_status, text": lambda it, x: it.set_status(StatusCode.ERROR, x),
    "record_exception": lambda it, x: it.record_exception(x),
    "record_exception, attributes": lambda it, x: it.record_exception(ValueError(), {"a": x}),
    "end": lambda it, x: it.end(x),
    "span, name": lambda _, x: span(x).__enter__().end(),
    "span, attributes": lambda _, x: _entered(span("x", attributes=x)),
    "span, kind": lambda _, x: _entered(span("x", kind=x)),
    "span, value": lambda _, x: _entered(span("x", value=x)),
}


def _entered(block: Any) -> None:
    with block:
        pass


@pytest.mark.parametrize("index", range(len(HOSTILE)))
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_any_value_is_taken_in_silence(
    seen: Telemetry, call: Callable[[Any, Any], object], index: int
) -> None:
    """Nothing raises, OpenTelemetry has nothing to complain about (see conftest), spans arrive."""
    copy = contextvars.copy_context()  # `span, name` is entered and never left.
    with span("outer") as it:
        copy.run(call, it, HOSTILE[index])
        it.set_attribute("after", 1)
    outer = [found for found in seen.spans() if found.parent is None][-1]
    if "span" in str(call):
        assert outer.attributes == {"after": 1}
    for found in seen.spans():
        found.to_json()


@given(st.dictionaries(st.text(), anything(), max_size=5))
def test_attributes_of_any_kind_arrive_legal(attributes: dict[str, object]) -> None:
    """Every exported value is one that the protocol has."""
    seen = telemetry()
    with span("x", attributes=attributes):
        pass
    (found,) = seen.spans()
    for key, value in (found.attributes or {}).items():
        assert key
        key.encode()
        items = value if isinstance(value, tuple) else (value,)
        assert len({type(item) for item in items}) <= 1
        assert all(type(item) in (str, bool, int, float) for item in items)


def test_bad_values_are_counted_with_the_callers_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once for each line of the application."""
    for _ in range(3):
        with span("", attributes=5):  # type: ignore[arg-type]
            pass
    assert guard.drops() == {"invalid_value": 6}
    ours = [r for r in caplog.records if r.name == "etl_telemetry"]
    assert {r.caller.rpartition(":")[0] for r in ours} == {__file__}  # type: ignore[attr-defined]


def test_too_many_attributes_are_cut(seen: Telemetry) -> None:
    """At what the SDK holds: it would drop the oldest, and log under the lock."""
    with span("x", attributes={f"a{n}": n for n in range(200)}):
        pass
    assert len(seen.spans()[0].attributes or {}) == 128
    assert guard.drops() == {"truncated": 1}


def test_values_become_what_is_documented(seen: Telemetry) -> None:
    """Bytes are text, NaN stays, a value that cannot be printed is named."""
    with span("x", a=b"caf\xc3\xa9", b=math.inf, c=Unprintable(), d={"k": 1}, e="x" * 2_000):
        pass
    attributes = dict(seen.spans()[0].attributes or {})
    assert len(str(attributes.pop("e"))) == 1_024
    assert attributes == {
        "a": "café", "b": math.inf, "c": "<unprintable Unprintable>", "d": "{'k': 1}"
    }  # fmt: skip


def test_the_span_can_do_all_that_a_span_can(seen: Telemetry) -> None:
    """The whole API of OpenTelemetry's span."""
    other = SpanContext(1, 2, is_remote=True)
    with span("x") as it:
        assert isinstance(it, trace.Span)
        assert it.is_recording()
        it.update_name("y")
        it.add_event("e", {"a": 1}, timestamp=5)
        it.add_link(other, {"b": 2})
        it.set_status(Status(StatusCode.ERROR, "bad"))
        it.end(2**62)
        assert not it.is_recording()
        it.set_attribute("late", 1)
        it.end()
    (found,) = seen.spans()
    (event,), (link,) = found.events, found.links
    assert (found.name, event.name, event.timestamp, dict(event.attributes or {})) == (
        "y", "e", 5, {"a": 1}
    )  # fmt: skip
    assert (link.context, dict(link.attributes or {})) == (other, {"b": 2})
    assert (found.status.description, found.end_time, found.attributes) == ("bad", 2**62, {})


def test_status_ok_has_no_description(seen: Telemetry) -> None:
    """OpenTelemetry would warn; a description belongs to an error."""
    with span("x") as it:
        it.set_status(StatusCode.OK, "fine")
    assert (seen.spans()[0].status.status_code, seen.spans()[0].status.description) == (
        StatusCode.OK, None
    )  # fmt: skip


def test_unsampled_span_is_current_too(seen: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is below a span that is not sampled is not sampled either; attributes are not read."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    tracer = provider.get_tracer("off")
    monkeypatch.setattr("etl_telemetry.tracing.blocks.tracer", lambda: tracer)

    @traced(record_args=True)
    def inner(_: object) -> SpanContext:
        return trace.get_current_span().get_span_context()

    with span("outer", value=Unprintable()) as it:
        ours = it.get_span_context()
        assert trace.get_current_span().get_span_context() == ours
        assert inner(Unprintable()).trace_id == ours.trace_id
    assert (ours.is_valid, ours.trace_flags.sampled) == (True, False)
    assert (seen.spans(), guard.drops()) == ((), {})


class _Broken(trace.NoOpTracer):
    def start_span(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("sampler")


def test_failure_to_start_does_not_reach_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sampler or a processor may fail: the call is made, and the failure counted."""
    monkeypatch.setattr("etl_telemetry.tracing.blocks.tracer", _Broken)
    with span("x") as it:
        it.set_attribute("a", 1)
    assert traced(divmod)(7, 2) == (3, 1)
    assert guard.drops() == {"internal_error": 2}


def test_failure_to_end_does_not_reach_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it leave the span current."""
    broken = TracerProvider(shutdown_on_exit=False).get_tracer("x").start_span("x")
    monkeypatch.setattr(type(broken), "end", lambda *_: 1 / 0)
    monkeypatch.setattr("etl_telemetry.tracing.blocks.Plan.start", lambda *_: broken)
    assert traced(divmod)(7, 2) == (3, 1)
    assert guard.drops() == {"internal_error": 1}


def test_tracer_is_asked_for_once(seen: Telemetry) -> None:
    """And is found by the proxies of the API once there is a provider."""
    assert tracing_settings.tracer() is tracing_settings.tracer()


def test_block_that_is_left_in_a_copy_of_its_context() -> None:
    """A task that was started inside, and leaves the block: there too it is over."""
    block = span("x")
    here = contextvars.copy_context()
    here.run(block.__enter__)
    copy = here.run(contextvars.copy_context)
    copy.run(block.__exit__, None, None, None)
    assert copy.run(trace.get_current_span) is trace.INVALID_SPAN


def test_place_heals_what_others_left_current() -> None:
    """A span that somebody entered inside and never left (trap 3) is gone after our block."""
    with span("ours"):
        context = trace.set_span_in_context(
            trace.NonRecordingSpan(SpanContext(1, 2, is_remote=False))
        )
        Place(context)
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_an_attribute_may_be_called_name(seen: Telemetry) -> None:
    """The span's own name is positional, so that no attribute's name is taken."""
    with span("work", name="flights"):
        pass
    (finished,) = seen.spans()
    assert (finished.name, dict(finished.attributes or {})["name"]) == ("work", "flights")
