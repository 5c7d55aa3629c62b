"""What arrives is what happened: a truth that the tasks write, compared exactly.

Each test drives a real worker, and reads what the embedded receiver got after it has ended. Here
are all pools at work, and what happens to the children of prefork; what ends or moves a worker is
in `test_celery_ends.py`.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from support.broker import broker, broker_server
from support.celery_matrix import PREFORK, STATUS, WITH_GEVENT, Matrix, lost, matrix, wait
from support.celery_worker import received

__all__ = ["broker", "broker_server", "matrix", "received"]


def test_children_that_are_spawned(matrix: Matrix) -> None:
    """They inherit no socket, and find it by its name; one that is killed is lost, once."""
    with matrix.worker(*PREFORK, worker_pool_start_method="spawn") as running:
        matrix.publish("for n in range(5): work.delay(n)\nfail.delay(5); die.delay(6)")
        wait(running, matrix, 7)
        running.wait_for(lambda: matrix.received.names()["run/support.relay_app.die"], "it")
    matrix.check()
    assert len(matrix.received.query.series("jobs.units")) == 1


@pytest.mark.parametrize(
    "options",
    [
        (*PREFORK, "--max-tasks-per-child=1"),
        (*PREFORK, "--autoscale=4,1"),
        ("--pool=threads", "-c3"),
        ("--pool=solo",),
        pytest.param(("--pool=gevent", "-c5"), marks=WITH_GEVENT),
    ],
    ids=["one task per child", "autoscale", "threads", "solo", "gevent"],
)
def test_every_pool(options: tuple[str, ...], matrix: Matrix) -> None:
    """Successes and failures, whichever pool runs them, and however often children change."""
    with matrix.worker(*options) as running:
        matrix.publish("for n in range(10): work.delay(n); n % 3 or fail.delay(n)")
        wait(running, matrix, 14)
    matrix.check()


def test_children_that_are_killed_or_exit(matrix: Matrix) -> None:
    """Each lost delivery leaves its span, its log event and its count, once.

    Celery gives a message to another child where the first died before Celery knew that it had
    begun (`asynpool`, `_put_back`): then there is a delivery more, which is lost, too.
    """
    with matrix.worker(*PREFORK) as running:
        matrix.publish(
            "for n in range(4): work.delay(n); die.delay(n)\nleave.delay(7)\n"
            "die.delay(8, by=signal.SIGSEGV)"
        )
        running.wait_for(lambda: len(ends(matrix)) == 10, "an end of each message")
        running.wait_for(
            lambda: len(lost(matrix)) == matrix.count("lost", "left"), "what is told of the lost"
        )
    matrix.check()
    killed, left = "its process was killed by signal", "its process has exited with code 3"
    how = {8: f"{killed} 11 (SIGSEGV)", 7: left}
    assert Counter(str(log.attributes["exception.message"]) for log in lost(matrix)) == Counter(
        how.get(n, f"{killed} 9 (SIGKILL)")
        for event, n in ends(matrix).elements()
        if STATUS[event] == "lost"
    )


def ends(matrix: Matrix) -> Counter[tuple[str, int]]:
    """Count the ends that the tasks themselves told, by event and number."""
    told = [line for line in matrix.told() if line["event"] in STATUS]
    return Counter((str(line["event"]), int(str(line["n"]))) for line in told)


def test_a_child_that_is_replaced_for_its_memory(matrix: Matrix) -> None:
    """It ends after its task, in peace."""
    with matrix.worker(*PREFORK, "--max-memory-per-child=120000") as running:
        matrix.publish("for n in range(6): eat.delay(n)")
        wait(running, matrix, 6)
    matrix.check()
    assert len({line["pid"] for line in matrix.told()}) > 3


def test_time_limits(matrix: Matrix) -> None:
    """The soft one is a failure like others; the hard one ends a process, and is lost."""
    with matrix.worker(*PREFORK) as running:
        matrix.publish(
            "hang.apply_async((1,), soft_time_limit=1)\n"
            "hang.apply_async((2,), time_limit=2)\nwork.delay(3)"
        )
        wait(running, matrix, 2, "failed", "ended")
        running.wait_for(lambda: matrix.received.names()["run/support.relay_app.hang"] == 2, "it")
    matrix.check(lost=1)
    (told,) = lost(matrix)
    assert told.attributes["error.type"] == "billiard.exceptions.TimeLimitExceeded"
    spans = matrix.received.query.spans()
    (span,) = [s for s in spans if s.attributes.get("task.status") == "lost"]
    assert span.attributes["task.status"] == "lost"
    assert span.span_id == told.span_id
    assert span.end_ns - span.start_ns > 1.5e9


def test_a_task_that_is_terminated_is_revoked_and_not_lost(matrix: Matrix) -> None:
    """Its count comes from where it is revoked, its span from the black box."""
    with matrix.worker(*PREFORK) as running:
        matrix.publish(
            "r = hang.delay(1)\n"
            "while not any(app.control.inspect().active().values()): time.sleep(0.1)\n"
            "app.control.revoke(r.id, terminate=True, reply=True)\nwork.delay(2)"
        )
        wait(running, matrix, 1, "ended")
        running.wait_for(lambda: matrix.received.names()["run/support.relay_app.hang"], "it")
    matrix.check(revoked=1)


def test_a_parent_that_is_busy_and_a_socket_that_is_full(matrix: Matrix) -> None:
    """No task waits for it; what finds no room is counted; sums are exact."""
    with matrix.worker("--pool=prefork", "-c1") as running:
        matrix.publish("flood.delay(5000); work.delay(1)")
        wait(running, matrix, 2, "ended")
    query = matrix.received.query
    events = Counter(str(log.body) for log in query.logs())
    drops = query.sum_latest("telemetry.drops", by=("reason",))
    arrived = sum(n for body, n in events.items() if body.startswith("flood "))
    assert arrived + drops[("queue_full",)] == 5_000
    assert drops[("queue_full",)] > 0
    assert query.sum_latest("task.executions", by=("status",)) == {("success",): 2}
    assert sum(query.sum_latest("jobs.units", by=()).values()) == 5_001


def test_many_children_leave_as_many_series_as_one_process(matrix: Matrix) -> None:
    """Each task in a process of its own. `RELAY_TASKS=10000` runs as many as the design names."""
    tasks = int(os.environ.get("RELAY_TASKS", "100"))
    with matrix.worker("--pool=prefork", "-c4", "--max-tasks-per-child=1") as running:
        for _ in range(0, tasks, 1_000):  # A process of its own for each thousand.
            publish = "work.apply_async((n % 9,), ignore_result=True)"
            matrix.publish(f"for n in range({min(tasks, 1_000)}): {publish}")
        running.wait_for(lambda: matrix.count("ended") == tasks, "the last task", patience=3600)
    matrix.check()
    query = matrix.received.query
    series = {name: len(query.series(name)) for name in ("jobs.units", "jobs.sizes")}
    assert series == {"jobs.units": 1, "jobs.sizes": 1}
    assert len(query.series("task.executions")) == 1
    assert len(query.series("task.execution.duration")) == 1
    spans = query.spans(name="run/support.relay_app.work", limit=None)
    assert len({span.resource["service.instance.id"] for span in spans}) == tasks
