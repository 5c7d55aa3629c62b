"""The table of events on the page about Celery: each of its rows is measured by a test."""

from __future__ import annotations

import ast
import re

from support.pages import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "celery.md"
INTEGRATION = REPOSITORY / "tests" / "integration"
HEADER = "| event | prefork | threads, solo, gevent |"
MEASURED = {
    "a task succeeds or fails": "test_every_pool",
    "the worker is told to end (TERM)": "test_every_pool",
    "children are replaced: after some tasks, for their memory, by autoscale": (
        "test_a_child_that_is_replaced_for_its_memory"
    ),
    "children are spawned, not forked": "test_children_that_are_spawned",
    "soft time limit": "test_time_limits",
    "hard time limit": "test_time_limits",
    "SIGKILL, the OOM killer, a crash, `sys.exit()` in a task": (
        "test_children_that_are_killed_or_exit"
    ),
    "`revoke(terminate=True)`": "test_a_task_that_is_terminated_is_revoked_and_not_lost",
    "the message of a killed task comes again (`acks_late`)": (
        "test_a_redelivery_is_a_new_delivery_of_the_same_task"
    ),
    "... and another worker gets it": (
        "test_a_redelivery_to_another_worker_stands_beside_the_delivery_before"
    ),
    "cold shutdown (QUIT), end of a soft one": "test_prefork_does_not_wait_for_its_tasks",
    "the broker restarts": "test_a_broker_that_restarts",
    "the main process stands still, its socket is full": (
        "test_a_parent_that_is_busy_and_a_socket_that_is_full"
    ),
    "nobody takes what is exported": (
        "test_a_worker_ends_within_the_deadline_where_nothing_can_be_exported"
    ),
    "SIGKILL of the whole worker": (
        "test_a_kill_of_the_whole_worker_loses_what_it_had_not_exported"
    ),
}
"""Row of the page -> test that compares it with what happened."""
POOLS = {"threads", "solo", "gevent"}


def sources() -> dict[str, str]:
    """Return the source of each test of real workers, by name."""
    found = {}
    for file in ("test_celery_matrix.py", "test_celery_ends.py", "test_celery_exit.py"):
        text = (INTEGRATION / file).read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                begin = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                found[node.name] = "\n".join(text.splitlines()[begin - 1 : node.end_lineno])
    return found


def test_each_row_of_the_page_is_measured() -> None:
    """A row without a test is a promise; a test that is gone leaves one behind."""
    below = PAGE.read_text().split(f"{HEADER}\n", 1)[1].split("\n\n", 1)[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in below.splitlines()[1:]]
    assert rows == list(MEASURED)
    assert set(MEASURED.values()) <= sources().keys()


def test_what_holds_for_every_pool_is_measured_in_every_pool() -> None:
    """The other cells of the last column say what is different there."""
    found = sources()
    assert set(re.findall(r"--pool=(\w+)", found["test_every_pool"])) >= POOLS
    everywhere = {"test_every_pool"} | {n for n, text in found.items() if "*ONE_PROCESS" in text}
    below = PAGE.read_text().split(f"{HEADER}\n", 1)[1].split("\n\n", 1)[0]
    claimed = {
        cells[0].removeprefix("| ")
        for cells in (line.rstrip(" |").split(" | ") for line in below.splitlines()[1:])
        if cells[2].startswith(("all of it", "the same"))
    }
    assert claimed == {event for event, test in MEASURED.items() if test in everywhere}
