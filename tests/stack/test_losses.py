"""Nothing is lost: kills and outages, with an application that knows what it emitted."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.stack import Engine, Stack, eventually
from support.stack.emitter import Arrived, Emitted, Emitter
from support.stack.refusing import Refusing

ROUNDS = 300
"""Rounds between two events: several exports of each signal."""
RENAMED = """
exporters:
  otlp_http/tracing:
    endpoint: ${env:JAEGER_OTLP_ENDPOINT}
    retry_on_failure: {max_elapsed_time: 0s}
    sending_queue: {storage: file_storage, batch: {sizer: items, min_size: 500, max_size: 2000}}
service:
  pipelines:
    traces/backend: {exporters: [otlp_http/tracing]}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start one stack for this file."""
    with Stack(tmp_path_factory.mktemp("losses")) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """Give the stack with all of its engines up."""
    for engine in running.engines:
        if not engine.is_alive:
            engine.start()
    return running


def everything(emitted: Emitted) -> Arrived:
    """Return what the backends have when each span, record and count is there once."""
    once = Counter(range(emitted.rounds))
    return Arrived(once, once, emitted.rounds)


def end_and_compare(emitter: Emitter, stack: Stack) -> None:
    """End it; everything that it emitted is there, or it is shown what is not."""
    emitted = emitter.end()
    stack.settle()
    expected = everything(emitted)
    with suppress(TimeoutError):
        eventually("all of it", lambda: emitter.arrived(stack) == expected, timeout=30)
    assert (emitter.arrived(stack), emitted.drops) == (expected, {})


def for_longer_than_the_application_tries() -> None:
    """Let 20 s pass: an exporter tries for ten."""
    end = time.monotonic() + 20
    eventually("20 s pass", lambda: time.monotonic() > end)


def test_collector_killed_during_traffic_loses_nothing(stack: Stack) -> None:
    """Three kills with SIGKILL: what was answered is on the disk, the rest is sent again."""
    with Emitter(stack.collector.otlp_http) as emitter:
        for _ in range(3):
            emitter.go_on(ROUNDS)
            stack.collector.kill()
            stack.collector.start()
        emitter.go_on(ROUNDS)
        end_and_compare(emitter, stack)


@pytest.mark.parametrize("name", ["prometheus", "elasticsearch", "jaeger"])
def test_backend_that_was_away_gets_everything_afterwards(name: str, stack: Stack) -> None:
    """All that waits is on the disk: the Collector is killed meanwhile, and holds nothing."""
    backend: Engine = getattr(stack, name)
    backend.stop()
    with Emitter(stack.collector.otlp_http) as emitter:
        emitter.go_on(ROUNDS)
        eventually("something waits", lambda: stack.collector.waiting() > 0)
        stack.collector.kill()
        stack.collector.start()
        emitter.go_on(ROUNDS)
        backend.start()
        emitter.go_on(ROUNDS)
        end_and_compare(emitter, stack)


def test_collector_away_for_longer_than_the_application_tries_is_counted(stack: Stack) -> None:
    """What is dropped then is counted by the application, item by item."""
    with Emitter(stack.collector.otlp_http, OTEL_METRICS_EXPORTER="none") as emitter:
        emitter.go_on(ROUNDS)
        stack.collector.stop()
        for_longer_than_the_application_tries()
        stack.collector.start()
        emitter.go_on(ROUNDS)
        emitted = emitter.end()
        stack.settle()
        found = emitter.arrived(stack)
    assert max(found.records.values()) == 1
    lost = 2 * emitted.rounds - found.spans.total() - found.records.total()
    # Counted items may have arrived, where only the answer got lost; never the reverse.
    assert 0 < lost <= emitted.drops["not_delivered"]
    assert list(emitted.drops) == ["not_delivered"]


@pytest.mark.parametrize("status", [429, 503])
def test_elasticsearch_that_refuses_for_a_while_gets_everything(status: int, stack: Stack) -> None:
    """It answers "later" to whole requests; the exporter tries until it takes them."""
    with Refusing(stack.elasticsearch.address("http"), status=status) as between:
        collector = stack.collector
        usual = collector.variables["ELASTICSEARCH_ENDPOINT"]
        collector.variables["ELASTICSEARCH_ENDPOINT"] = between.address
        try:
            collector.restart()
            with Emitter(collector.otlp_http) as emitter:
                emitter.go_on(ROUNDS)
                eventually("it refuses", lambda: between.refused >= 3)
                emitter.go_on(ROUNDS)
                between.status = None
                end_and_compare(emitter, stack)
        finally:
            collector.variables["ELASTICSEARCH_ENDPOINT"] = usual
            collector.restart()


@pytest.fixture
def small_disk(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """Give the Collector a disk of 24 MiB for its queues."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    usual = dict(stack.collector.variables)
    stack.collector.stop()
    stack.collector.variables["ETL_QUEUE_DIRECTORY"] = str(tmp_path)
    try:
        yield stack
    finally:
        stack.collector.stop()
        stack.collector.variables = usual
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_full_queue_refuses_and_what_is_refused_is_counted(small_disk: Stack) -> None:
    """A queue below its disk says no: everything arrives, or the application counts it."""
    stack = small_disk
    stack.collector.variables["ETL_QUEUE_BYTES"] = "1000000"
    stack.collector.start()
    stack.jaeger.stop()
    stack.elasticsearch.stop()
    variables = {"OTEL_METRICS_EXPORTER": "none"}
    with Emitter(stack.collector.otlp_http, padding=1_000, **variables) as emitter:
        refused = "otelcol_exporter_enqueue_failed_spans"
        eventually(
            "the queue refuses", lambda: sum(stack.collector.ask.values(refused).values()) > 0
        )
        for_longer_than_the_application_tries()
        stack.jaeger.start()
        stack.elasticsearch.start()
        emitter.go_on(ROUNDS)
        emitted = emitter.end()
        stack.settle()
        found = emitter.arrived(stack)
    lost = 2 * emitted.rounds - found.spans.total() - found.records.total()
    # Counted items may have arrived, where only the answer got lost; never the reverse.
    assert 0 < lost <= emitted.drops["not_delivered"]
    assert list(emitted.drops) == ["not_delivered"]


def test_renamed_exporter_gets_what_waited_when_its_file_is_renamed(
    stack: Stack, tmp_path: Path
) -> None:
    """The queue's file has the exporter's name: without the step of the page it is orphaned."""
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text(RENAMED)
    collector = stack.collector
    usual = list(collector.configs)
    stack.jaeger.stop()
    try:
        with Emitter(collector.otlp_http) as emitter:
            emitter.go_on(ROUNDS)
            eventually("something waits", lambda: collector.waiting() > 0)
            collector.stop()
            (collector.queue / "exporter_otlp_http_jaeger_traces").rename(
                collector.queue / "exporter_otlp_http_tracing_traces"
            )
            collector.configs = [*usual, renamed]
            collector.start()
            stack.jaeger.start()
            emitter.go_on(ROUNDS)
            end_and_compare(emitter, stack)
    finally:
        collector.configs = usual
        collector.restart()
