"""The life of telemetry in real processes: forks, ends, deadlines, other distributions."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

import pytest

from support.process import receiving, run

COUNTER = """
    from opentelemetry import metrics
    counter = metrics.get_meter("test").create_counter("things")
"""


def _script(body: str) -> str:
    return dedent(COUNTER) + dedent(body)


def test_forked_children_of_a_collecting_parent_neither_hang_nor_repeat_its_sums() -> None:
    """200 forks from a busy parent: every child ends, each sum is its own (traps 1, 9)."""
    script = _script("""
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
    script = _script("""
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
    script = _script("""
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


def test_everything_is_delivered_at_an_ordinary_exit() -> None:
    """A script that just ends leaves nothing behind."""
    script = _script("""
        import logging
        from etl_telemetry import setup_telemetry, span
        setup_telemetry()
        with span("last"):
            logging.getLogger("app").warning("last")
        counter.add(7)
    """)
    with receiving() as (receiver, query):
        result = run(script, receiver.address)
        assert (result.returncode, result.stderr) == (0, "last\n")
        assert [span.name for span in query.spans()] == ["last"]
        assert [record.body for record in query.logs()] == ["last"]
        assert query.sum_latest("things") == {(): 7}


@contextmanager
def _hanging_server() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


EXIT = _script("""
    import logging, time
    from etl_telemetry import setup_telemetry, span
    setup_telemetry()
    with span("lost"):
        logging.getLogger("app").error("lost")
    counter.add(1)

    print(time.time(), flush=True)
""")


@pytest.mark.parametrize("collector", ["refused", "hung"])
def test_exit_without_a_collector_takes_no_longer_than_the_deadline(collector: str) -> None:
    """One deadline for the three signals, whether the port is closed or never answers (trap 6).

    The stock set-up takes 15 to 29 seconds; the bound here leaves a slow machine
    ten seconds for leaving the interpreter: beside two other steps of the CI it took more than six.
    """
    with _hanging_server() as hanging:
        address = hanging if collector == "hung" else "http://127.0.0.1:9"
        result = run(EXIT, address, OTEL_METRIC_EXPORT_INTERVAL="60000")
    took = time.time() - float(result.stdout)
    assert result.returncode == 0
    assert took < 12
    assert "Traceback" not in result.stderr


def test_what_could_not_be_delivered_at_the_exit_is_said() -> None:
    """A loss at the end is one line on the console, with the signals."""
    script = EXIT.replace("setup_telemetry()", "setup_telemetry(deadline=0.5)")
    with _hanging_server() as hanging:
        result = run(script, hanging)
    assert "telemetry_not_delivered" in result.stderr


def test_after_shutdown_every_call_is_a_no_op() -> None:
    """Nothing raises, nothing is sent, no thread is left."""
    script = _script("""
        import logging, threading
        from etl_telemetry import setup_telemetry, span
        telemetry = setup_telemetry()
        with span("first"):
            pass
        assert telemetry.shutdown()
        assert telemetry.shutdown()
        with span("second"):
            logging.getLogger("app").warning("second")
        counter.add(1)
        assert telemetry.force_flush()
    """)
    with receiving() as (receiver, query):
        result = run(script, receiver.address)
        assert (result.returncode, result.stderr) == (0, "second\n")
        assert [span.name for span in query.spans()] == ["first"]
        assert query.sum_latest("things") == {}


def test_a_distribution_that_was_first_keeps_its_providers_and_gets_our_spans() -> None:
    """We cooperate with providers that are already set, and say so once."""
    script = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        theirs = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(theirs))
        trace.set_tracer_provider(provider)
        from etl_telemetry import setup_telemetry, span
        setup_telemetry(instrumentations=())
        with span("ours"):
            pass
        assert trace.get_tracer_provider() is provider
        print([span.name for span in theirs.get_finished_spans()])
    """
    with receiving() as (receiver, query):
        result = run(script, receiver.address)
        assert (result.returncode, result.stdout) == (0, "['ours']\n")
        assert "telemetry_set_up_elsewhere" in result.stderr
        assert query.spans() == []


def test_set_up_twice_and_from_many_threads_happens_once() -> None:
    """The same handle comes back, and each record still arrives once."""
    script = """
        import logging, threading
        from etl_telemetry import setup_telemetry, span
        handles = []
        def set_up():
            handles.append(setup_telemetry())
        threads = [threading.Thread(target=set_up) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(set(map(id, handles))) == 1
        logging.getLogger("app").warning("once")
    """
    with receiving() as (receiver, query):
        assert run(script, receiver.address).returncode == 0
        assert [record.body for record in query.logs()] == ["once"]


def test_recording_while_the_sdk_holds_its_locks_does_not_deadlock() -> None:
    """A destructor that counts during a measurement or a collection is counted later (trap 4)."""
    script = _script("""
        import gc
        from etl_telemetry import setup_telemetry
        telemetry = setup_telemetry(metric_interval=0.001)
        class Cycle:
            def __init__(self):
                self.me = self
            def __del__(self):
                counter.add(1)
                ended.append(1)
        ended = []
        gc.set_threshold(1)
        for number in range(2000):
            Cycle()
            counter.add(1, {"kind": number % 3})
        gc.set_threshold(700)
        while len(ended) < 2000:  # Nothing is collected while another thread collects.
            gc.collect()
        assert telemetry.force_flush(30)
    """)
    with receiving() as (receiver, query):
        result = run(script, receiver.address)
        assert (result.returncode, result.stderr) == (0, "")
        assert query.sum_latest("things") == {(): 4000}


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


@pytest.mark.parametrize("used", ["before", "at exit"])
def test_exit_handlers_of_the_application_may_log(used: str) -> None:
    """Since Python 3.12 no thread starts at the exit: ours run, or it is said in one line."""
    script = dedent(f"""
        import atexit, logging
        from etl_telemetry import setup_telemetry, span
        setup_telemetry()
        if {used!r} == "before":
            with span("before"):
                pass
        app = logging.getLogger("app")
        app.addHandler(logging.NullHandler())
        atexit.register(lambda: app.warning("bye"))
        logging.getLogger("etl_telemetry").addHandler(logging.StreamHandler())
    """)
    with receiving() as (receiver, query):
        result = run(script, receiver.address)
        arrived = [record.body for record in query.logs()]
    expected = (["bye"], "") if used == "before" else ([], "telemetry_dropped\n")
    assert (result.returncode, (arrived, result.stderr)) == (0, expected)


def test_a_callback_of_the_garbage_collector_may_record() -> None:
    """It runs wherever something is allocated, so under the SDK's locks too (trap 4)."""
    script = _script("""
        import gc
        from etl_telemetry import setup_telemetry
        telemetry = setup_telemetry(metric_interval=0.001)
        calls = []
        def collecting(phase, _):
            if phase == "start" and len(calls) < 5000:
                calls.append(phase)
                counter.add(1, {"by": "callback"})
        gc.callbacks.append(collecting)
        gc.set_threshold(1)
        for number in range(100):
            counter.add(1, {"by": number})
        gc.set_threshold(700)
        gc.callbacks.remove(collecting)
        assert calls and telemetry.force_flush(30)
        print(len(calls))
    """)
    with receiving() as (receiver, query):
        result = run(script, receiver.address)
        assert (result.returncode, result.stderr) == (0, "")
        assert query.sum_latest("things") == {(): 100 + int(result.stdout)}


def test_a_signal_that_is_switched_off_opens_no_connection() -> None:
    """`none` for all three exporters: the receiver sees nobody."""
    script = _script("""
        import logging
        from etl_telemetry import setup_telemetry, span
        setup_telemetry()
        with span("nobody"):
            logging.getLogger("app").warning("nobody")
        counter.add(1)
    """)
    off = dict.fromkeys(
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"
    )
    with receiving() as (receiver, _):
        assert run(script, receiver.address, **off).returncode == 0
        assert receiver.connections == 0
