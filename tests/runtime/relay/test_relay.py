"""The relay in real processes: forks, kills, ends, deadlines."""

from __future__ import annotations

from textwrap import dedent

from etl_telemetry.viewer.query import Query
from support.process import receiving, run

BEGIN = """
    import logging, os, signal, sys, time
    from opentelemetry import metrics, trace
    from etl_telemetry import setup_telemetry
    from etl_telemetry.setup import lifecycle
    telemetry = setup_telemetry({options})
    relay = lifecycle().begin_relay()
    relay.begin()
    counter = metrics.get_meter("test").create_counter("things")
    tracer = trace.get_tracer("test")
    log = logging.getLogger("jobs")
    def fork(work):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        return pid
    def ended(*pids):
        return [os.waitpid(pid, 0)[1] for pid in pids]
"""


def script(body: str, options: str = "") -> str:
    """Return a script that begins a relay first."""
    return dedent(BEGIN).replace("{options}", options) + dedent(body)


def names(query: Query) -> list[str]:
    """Return the names of the spans that arrived."""
    return sorted(span.name for span in query.spans())


def test_children_of_a_busy_relay_neither_hang_nor_make_series() -> None:
    """100 forks while the relay reads, merges and exports: one series, and the exact sum."""
    body = script(
        """
        import threading
        counter.add(1000)
        stop = threading.Event()
        def record():
            while not stop.is_set():
                counter.add(0)
                time.sleep(0)
        threading.Thread(target=record, daemon=True).start()
        def work():
            with tracer.start_as_current_span("work"):
                counter.add(1)
                log.warning("worked")
            assert telemetry.shutdown(30)
        for _ in range(20):
            assert ended(*[fork(work) for _ in range(5)]) == [0] * 5
        stop.set()
        """,
        options="metric_interval=0.01",
    )
    with receiving() as (receiver, query):
        result = run(body, receiver.address, timeout=240)
        assert (result.returncode, result.stderr) == (0, "worked\n" * 100)
        assert query.sum_latest("things") == {(): 1100}
        assert len(query.series("things")) == 1
        assert names(query) == ["work"] * 100
        assert len([r for r in query.logs() if r.body == "worked"]) == 100
        # Who did it is told, though another process exports.
        assert len({s.resource["process.pid"] for s in query.spans()}) == 100
        (series,) = query.series("things")
        assert series.points[0].value == 0


def test_what_had_finished_before_a_kill_is_kept() -> None:
    """A span, a record, and the metrics of what was handed over before; many times."""
    body = script("""
        def work():
            counter.add(1)
            relay.release(measure=True)
            counter.add(100)
            log.warning("before")
            with tracer.start_as_current_span("before"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        assert ended(*[fork(work) for _ in range(30)]) == [9] * 30
    """)
    with receiving() as (receiver, query):
        result = run(body, receiver.address)
        assert (result.returncode, result.stderr) == (0, "before\n" * 30)
        assert names(query) == ["before"] * 30
        assert len([r for r in query.logs() if r.body == "before"]) == 30
        assert query.sum_latest("things") == {(): 30}


def test_a_child_of_a_child_hands_over_too() -> None:
    """What a task starts with `multiprocessing` is not lost either."""
    body = script("""
        def inner():
            with tracer.start_as_current_span("inner"):
                counter.add(1)
            telemetry.shutdown()
        def outer():
            counter.add(10)
            assert ended(fork(inner)) == [0]
            telemetry.shutdown()
        assert ended(fork(outer)) == [0]
    """)
    with receiving() as (receiver, query):
        result = run(body, receiver.address)
        assert (result.returncode, result.stderr) == (0, "")
        assert (names(query), query.sum_latest("things")) == (["inner"], {(): 11})


def test_spans_arrive_as_they_were() -> None:
    """Attributes of each type, events, links, status, parents, scope: all of it."""
    body = script("""
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode
        def work():
            with tracer.start_as_current_span("first") as first:
                pass
            with tracer.start_as_current_span("outer", kind=SpanKind.CONSUMER):
                with tracer.start_as_current_span(
                    "inner", links=[Link(first.get_span_context(), {"why": "retry"})],
                    attributes={"a": "x", "b": 1, "c": 0.5, "d": True, "e": ["x", "y"]},
                ) as span:
                    span.add_event("happened", {"n": 1}, timestamp=5)
                    span.set_status(Status(StatusCode.ERROR, "went wrong"))
            telemetry.shutdown()
        fork(work) if relayed else work()
        if relayed: os.wait()
    """)
    found = []
    for relayed in (True, False):
        with receiving() as (receiver, query):
            result = run(f"relayed = {relayed}\n" + body, receiver.address)
            assert (result.returncode, result.stderr) == (0, "")
            spans = {span.name: span for span in query.spans()}
            inner = spans["inner"]
            assert inner.parent_span_id == spans["outer"].span_id
            assert inner.links[0].span_id == spans["first"].span_id
            found.append(
                (
                    inner.kind, inner.status, inner.status_message, inner.attributes,
                    inner.links[0].attributes, inner.scope, spans["outer"].kind,
                    [(e.name, e.attributes, e.time_ns) for e in inner.events],
                    set(inner.resource),
                )
            )  # fmt: skip
    assert found[0] == found[1]


def test_a_child_whose_relay_is_gone_goes_on() -> None:
    """Nothing raises or waits; what it cannot hand over is counted."""
    body = script("""
        read, write = os.pipe()
        def work():
            os.close(write)
            os.read(read, 1)  # Until the parent has gone.
            begun = time.monotonic()
            for n in range(3):
                with tracer.start_as_current_span("late"):
                    counter.add(1)
            from etl_telemetry import guard
            assert not telemetry.shutdown(30)
            print(guard.drops()["not_delivered"] >= 3, time.monotonic() - begun < 20)
        fork(work)
        os.close(read)
        sys.stdout.flush()
        os._exit(0)
    """)
    with receiving() as (receiver, query):
        result = run(body, receiver.address)
        assert result.stdout == "True True\n"
        assert names(query) == []


def test_the_end_does_not_wait_for_a_child_that_stays() -> None:
    """A daemon that a child left behind holds the socket open, and not the exit up."""
    body = script(
        """
        read, write = os.pipe()
        def stay():
            with tracer.start_as_current_span("stays"):
                pass
            os.write(write, b"x")
            time.sleep(60)
        pid = fork(stay)
        os.read(read, 1)
        begun = time.monotonic()
        assert telemetry.shutdown()
        print(time.monotonic() - begun < 10)
        os.kill(pid, signal.SIGKILL)
        """,
        options="deadline=4.0",
    )
    with receiving() as (receiver, query):
        result = run(body, receiver.address)
        assert (result.stdout, result.stderr) == ("True\n", "")
        assert names(query) == ["stays"]


def test_where_nothing_is_exported_there_is_no_relay() -> None:
    """Neither a socket nor a thread."""
    body = """
        import threading
        from etl_telemetry import setup_telemetry
        from etl_telemetry.setup import lifecycle
        setup_telemetry(traces_exporter="none", metrics_exporter="none", logs_exporter="none")
        assert lifecycle().begin_relay() is None
        print([thread.name for thread in threading.enumerate()])
    """
    assert run(body).stdout == "['MainThread']\n"


def test_the_test_kit_sees_what_children_did() -> None:
    """Its exporters are in the parent, where all of it arrives."""
    body = """
        import os
        from opentelemetry import metrics, trace
        from etl_telemetry import setup_telemetry
        from etl_telemetry.setup import lifecycle
        from etl_telemetry.testing import capture
        setup_telemetry(traces_exporter="none", metrics_exporter="none", logs_exporter="none")
        with capture() as telemetry:
            lifecycle().begin_relay().begin()
            counter = metrics.get_meter("test").create_counter("things")
            pid = os.fork()
            if pid == 0:
                with trace.get_tracer("test").start_as_current_span("in a child"):
                    counter.add(3)
                lifecycle().shutdown()
                os._exit(0)
            os.waitpid(pid, 0)
            print(telemetry.spans.named("in a child").status, telemetry.metrics["things"])
    """
    result = run(body)
    assert result.stderr == ""
    assert result.stdout.startswith("unset ")
    assert "3" in result.stdout
