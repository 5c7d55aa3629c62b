"""The life of telemetry in real processes: ends, deadlines, other distributions."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

import pytest

from support.counting import counting
from support.process import receiving, run


def test_everything_is_delivered_at_an_ordinary_exit() -> None:
    """A script that just ends leaves nothing behind."""
    script = counting("""
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


EXIT = counting("""
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
    """Nothing raises, nothing is sent or called delivered, no thread is left.

    Who drains a table believes the answer, and marks as reported what went nowhere.
    """
    script = counting("""
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
        assert not telemetry.force_flush()
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
    script = counting("""
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
    script = counting("""
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
    script = counting("""
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
