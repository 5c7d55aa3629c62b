"""What a user's type checker sees. Read by mypy, never executed (see test_typing.py).

`# type: ignore[code]` marks a mistake that must be found: a superfluous one is an error, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from etl_telemetry import (
    begin_run,
    connector_operation,
    current_run,
    finish_run,
    log_context,
    logging_config,
    metrics,
    pipeline_run,
    setup_telemetry,
    span,
    step,
    traced,
)


@traced
def add(a: int, b: int = 1) -> int:
    return a + b


@traced(name="loading", attributes={"source": "file"}, record_args=("path",))
async def load(path: str) -> list[str]:
    return [path]


@traced
def pages(count: int) -> Iterator[int]:
    yield from range(count)


@traced
async def stream() -> AsyncIterator[bytes]:
    yield b""


class Loader:
    @traced
    def method(self, text: str) -> str:
        return text

    @classmethod
    @traced
    def build(cls, size: int) -> Loader:
        return cls()

    @staticmethod
    @traced
    def helper(value: float) -> float:
        return value


@log_context(tenant="AA")
def with_fields(rows: int) -> int:
    return rows


@pipeline_run("daily", organization="acme")
def daily(day: str) -> bool:
    return bool(day)


assert_type(add(1), int)
assert_type(list(pages(3)), list[int])
assert_type(Loader().method("x"), str)
assert_type(Loader.build(3), Loader)
assert_type(Loader.helper(1.0), float)
assert_type(with_fields(1), int)
assert_type(daily("2013-01-01"), bool)
assert_type(logging_config(environment="production"), dict[str, Any])

add("1")  # type: ignore[arg-type]
Loader().method(1)  # type: ignore[arg-type]
with_fields("1")  # type: ignore[arg-type]
daily()  # type: ignore[call-arg]
pipeline_run("daily")  # type: ignore[call-arg]


async def asynchronous() -> None:
    assert_type(await load("a.csv"), list[str])
    async for chunk in stream():
        assert_type(chunk, bytes)


def runs() -> None:
    telemetry = setup_telemetry(service_name="shop")
    assert_type(telemetry.force_flush(deadline=1.0), bool)
    assert_type(telemetry.config.service_name, str)
    with begin_run("daily", organization="acme") as run:
        assert_type(run.trace_id, str)
    with pipeline_run("daily", organization="acme") as local:
        local.set_status("cancelled")
    with step("extract") as rows, connector_operation("http", "fetch_page"), span("part", pages=1):
        rows.add_rows(read=2, written=1, rejected=1)
    found = current_run()
    found.name  # type: ignore[union-attr]
    assert_type(finish_run("1", "success", name="daily", organization="acme", started_at=1.0), bool)
    metrics.record_pipeline_execution("daily", "acme", "success", 1.5)
