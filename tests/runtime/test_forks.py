"""Telemetry in children: forks while it collects, while it is set up, and multiprocessing."""

from __future__ import annotations

from textwrap import dedent

import pytest

from support.counting import counting
from support.process import receiving, run


def test_forked_children_of_a_collecting_parent_neither_hang_nor_repeat_its_sums() -> None:
    """200 forks from a busy parent: every child ends, each sum is its own (traps 1, 9)."""
    script = counting("""
        import os, threading
        from etl_telemetry import setup_telemetry
        telemetry = setup_telemetry(metric_interval=0.001)
        counter.add(1000)
        stop = threading.Event()
        def record():
            while not stop.is_set():
                counter.add(0)
        threading.Thread(target=record, daemon=True).start()
        for _ in range(20):
            children = []
            for _ in range(10):
                pid = os.fork()
                if pid == 0:
                    counter.add(1)
                    os._exit(0 if telemetry.shutdown(30) else 1)
                children.append(pid)
            for pid in children:
                assert os.waitpid(pid, 0)[1] == 0
        stop.set()
    """)
    with receiving() as (receiver, query):
        result = run(script, receiver.address, timeout=240)
        assert (result.returncode, result.stderr) == (0, "")
        assert query.sum_latest("things") == {(): 1200}
        values = sorted(series.points[-1].value for series in query.series("things"))
    assert values == [1] * 200 + [1000]


def test_the_stock_distribution_repeats_the_parents_sums_in_a_child() -> None:
    """The trap that the test above guards against is real: stock, 5 + 1 becomes 11 (trap 9)."""
    script = counting("""
        import os
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.resources import Resource, ServiceInstanceIdResourceDetector
        resource = Resource.create({}).merge(ServiceInstanceIdResourceDetector().detect())
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        provider = MeterProvider([reader], resource=resource)
        metrics.set_meter_provider(provider)
        counter.add(5)
        pid = os.fork()
        if pid == 0:
            counter.add(1)
            provider.force_flush()
            os._exit(0)
        os.waitpid(pid, 0)
    """)
    with receiving() as (receiver, query):
        run(script, receiver.address)
        assert query.sum_latest("things") == {(): 11}


def test_children_keep_cached_tracers_meters_and_loggers() -> None:
    """What a library cached before the fork works in the child, with the child's identity."""
    script = counting("""
        import logging, os
        from opentelemetry import trace
        tracer = trace.get_tracer("cached before")
        from etl_telemetry import setup_telemetry
        telemetry = setup_telemetry()
        late = trace.get_tracer("cached after")
        log = logging.getLogger("app")
        def work(name):
            with tracer.start_as_current_span(name + " early"), late.start_as_current_span(name):
                log.warning(name)
            counter.add(1)
        work("parent")
        pid = os.fork()
        if pid == 0:
            work("child")
            os._exit(0 if telemetry.shutdown(30) else 1)
        assert os.waitpid(pid, 0)[1] == 0
    """)
    with receiving() as (receiver, query):
        result = run(script, receiver.address)
        assert (result.returncode, result.stderr.splitlines()) == (0, ["parent", "child"])
        spans = sorted(span.name for span in query.spans())
        logs = sorted(record.body for record in query.logs())
        writers = {span.resource["service.instance.id"] for span in query.spans()}
        assert query.sum_latest("things") == {(): 2}
    assert spans == ["child", "child early", "parent", "parent early"]
    assert logs == ["child", "parent"]
    assert len(writers) == 2


def test_a_child_sends_nothing_that_its_parent_queued() -> None:
    """Spans and records that wait in the parent at the fork arrive once."""
    script = """
        import logging, os
        from etl_telemetry import setup_telemetry, span
        telemetry = setup_telemetry()
        for number in range(20):
            with span("waiting"):
                logging.getLogger("app").warning("waiting")
        pid = os.fork()
        if pid == 0:
            with span("child"):
                pass
            os._exit(0 if telemetry.shutdown(30) else 1)
        assert os.waitpid(pid, 0)[1] == 0
    """
    with receiving() as (receiver, query):
        assert run(script, receiver.address).returncode == 0
        counts = query.counts()
    assert (counts["spans"], counts["logs"]) == (21, 20)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_at_their_end(method: str) -> None:
    """Pool workers and processes run no exit handlers; their telemetry arrives all the same."""
    script = f"""
        import multiprocessing, sys
        from etl_telemetry import setup_telemetry, span
        from opentelemetry import metrics
        counter = metrics.get_meter("test").create_counter("things")
        def work(name):
            setup_telemetry()
            with span(name):
                counter.add(1)
        if __name__ == "__main__":
            setup_telemetry()
            context = multiprocessing.get_context({method!r})
            children = [context.Process(target=work, args=(f"child {{n}}",)) for n in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
                assert child.exitcode == 0
    """
    with receiving() as (receiver, query):
        result = run(script, receiver.address, as_file=True)
        assert (result.returncode, result.stderr) == (0, "")
        names = sorted(span.name for span in query.spans())
        assert query.sum_latest("things") == {(): 3}
    assert names == ["child 0", "child 1", "child 2"]


def test_a_fork_in_the_middle_of_the_set_up_leaves_a_child_that_can_be_set_up() -> None:
    """Another thread of the parent holds the lock of the set-up at the fork (trap 1)."""
    script = dedent("""
        import os, signal, threading
        from etl_telemetry import setup, setup_telemetry
        going, go_on = threading.Event(), threading.Event()
        first = setup._first
        def slow(options):
            going.set()
            go_on.wait(30)
            return first(options)
        setup._first = slow
        thread = threading.Thread(target=lambda: setup_telemetry())
        thread.start()
        going.wait(30)
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)  # A child that hangs is killed.
            setup._first = first
            setup_telemetry()
            os._exit(0)
        go_on.set()
        thread.join()
        assert os.waitpid(pid, 0)[1] == 0
    """)
    with receiving() as (receiver, _):
        result = run(script, receiver.address)
    assert (result.returncode, result.stderr) == (0, "")
