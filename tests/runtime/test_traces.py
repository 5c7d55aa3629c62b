"""The delegating tracer: a block, a decorator of plain and async functions, over a rebuild."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from etl_telemetry.runtime.current import Current, Signals
from etl_telemetry.runtime.traces import DelegatingTracerProvider


class _House:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.current = Current(self._build)
        self.tracer = DelegatingTracerProvider(self.current).get_tracer("test")

    def _build(self, forks: int) -> Signals:
        sdk = TracerProvider(shutdown_on_exit=False)
        sdk.add_span_processor(SimpleSpanProcessor(self.exporter))
        return Signals(
            traces=sdk, metrics=None, logs=None, finished=None, spans=None, records=None,
            collector=None, shutdowns=(),
        )  # fmt: skip

    def names(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]


@pytest.fixture
def house() -> _House:
    """Give a tracer over an SDK that the test can look into."""
    return _House()


def test_a_block_makes_its_span_current_and_ends_it(house: _House) -> None:
    """The span is current inside, the one before is current again afterwards."""
    before = trace.get_current_span()
    with house.tracer.start_as_current_span("outer") as outer:
        assert trace.get_current_span() is outer
        with house.tracer.start_as_current_span("inner"):
            pass
    assert trace.get_current_span() is before
    assert house.names() == ["inner", "outer"]


def test_an_error_passes_and_is_recorded(house: _House) -> None:
    """The block swallows nothing."""
    with pytest.raises(ZeroDivisionError), house.tracer.start_as_current_span("broken"):
        raise ZeroDivisionError
    (span,) = house.exporter.get_finished_spans()
    assert [event.name for event in span.events] == ["exception"]


def test_it_decorates_plain_and_async_functions_for_every_call(house: _House) -> None:
    """As the API promises; each call is a span, also in a process that was forked later."""

    @house.tracer.start_as_current_span("plain")
    def plain() -> int:
        return 1

    @house.tracer.start_as_current_span("async")
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return 2

    assert [plain(), plain(), asyncio.run(coroutine())] == [1, 1, 2]
    house.current.after_fork_in_child()
    assert plain() == 1
    assert house.names() == ["plain", "plain", "async", "plain"]
