"""Queries are counted for the work that sent them, and for all work around it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from etl_telemetry import queries
from etl_telemetry.pipelines import step
from etl_telemetry.queries import MAX_STATEMENTS, Tally
from support.telemetry import Telemetry, telemetry


@pytest.fixture(autouse=True)
def seen() -> Telemetry:
    """Give the telemetry of this process, empty."""
    return telemetry()


def test_without_a_tally_nothing_is_counted() -> None:
    """A query outside of any work costs one look."""
    queries.count("SELECT 1", 1.0)
    assert queries.current() is None


def test_no_queries_are_no_attributes() -> None:
    """A span of work without a database says nothing of one."""
    assert Tally().attributes() == {}


def test_one_query_is_not_repeated() -> None:
    """Nothing is sent twice: no hint."""
    with Tally() as tally:
        queries.count("SELECT 1", 0.5)
    assert tally.attributes() == {"db.query.count": 1, "db.query.duration": 0.5}


def test_statements_are_told_apart_by_their_shape() -> None:
    """Values and the length of a list do not matter; values never leave."""
    with Tally() as tally:
        for number in range(3):
            queries.count(f"SELECT a FROM t WHERE id = {number}", 0.25)  # noqa: S608 - sent nowhere
        queries.count("SELECT a FROM t WHERE id IN (1, 2)", 0.25)
        queries.count("SELECT a FROM t WHERE id IN (1, 2, 3)", 0.25)
    assert tally.attributes() == {
        "db.query.count": 5,
        "db.query.duration": 1.25,
        "db.query.repeated.text": "SELECT a FROM t WHERE id = ?",
        "db.query.repeated.count": 3,
    }


def test_strings_in_double_quotes_are_values_where_the_database_says_so() -> None:
    """MySQL's: in the hint they would be personal data; elsewhere they are names."""
    sent = 'SELECT a FROM t WHERE mail = "ada"'
    with Tally() as tally:
        for _ in range(2):
            queries.count(sent, 0.5, quoted_names=False)
    assert tally.repeated() == ("SELECT a FROM t WHERE mail = ?", 2)
    with Tally() as tally:
        for _ in range(2):
            queries.count(sent, 0.5)
    assert tally.repeated() == (sent, 2)


@pytest.mark.parametrize("statement", [b"SELECT 1", None, 7])
def test_what_is_no_text_is_counted_and_not_told(statement: object) -> None:
    """Drivers have statements of their own types, which may hold values."""
    with Tally() as tally:
        queries.count(statement, 0.5)
        queries.count(statement, 0.5)
    assert tally.attributes() == {"db.query.count": 2, "db.query.duration": 1.0}


def test_memory_is_bounded() -> None:
    """A task may send millions of different statements, and long ones."""
    with Tally() as tally:
        for number in range(MAX_STATEMENTS + 50):
            queries.count(f"SELECT {number} -- {'x' * 10_000}", 0.0)
    assert tally.number == MAX_STATEMENTS + 50
    assert tally.repeated() == ("SELECT ?", MAX_STATEMENTS)
    assert max(len(text) for text, _ in tally._statements) == 2_048


def test_threads_and_tasks_count_for_the_work_that_started_them() -> None:
    """None is lost where many count at once."""

    async def many() -> None:
        await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(8)))

    def ask() -> None:
        for _ in range(500):
            queries.count("SELECT 1", 0.5)

    with Tally() as tally:
        asyncio.run(many())
    assert (tally.number, tally.seconds) == (4_000, 2_000.0)


def test_a_thread_of_its_own_counts_nowhere() -> None:
    """It has a context of its own, as a task of Celery has."""
    with Tally() as tally:
        thread = threading.Thread(target=queries.count, args=("SELECT 1", 0.5))
        thread.start()
        thread.join()
    assert tally.number == 0


def test_work_that_ends_elsewhere_takes_nothing_from_others() -> None:
    """Blocks may end out of order (generators): what is current stays."""
    first, second = Tally(), Tally()
    with first:
        second.__enter__()
        first.leave()
        assert queries.current() is second
        second.leave()
        assert queries.current() is first
    assert queries.current() is None


def test_a_step_tells_its_queries_and_the_work_around_counts_them_too(seen: Telemetry) -> None:
    """Steps nest in a request or a task."""
    with Tally() as outer:
        queries.count("SELECT 1", 0.5)
        with step("load"):
            queries.count("SELECT 2", 0.5)
            with step("check"):
                queries.count("SELECT 3", 0.5)
            queries.count("SELECT 4", 0.5)
    counts = {span.name: (span.attributes or {}).get("db.query.count") for span in seen.spans()}
    assert counts == {"step check": 1, "step load": 3}
    assert outer.number == 4


def test_a_step_that_many_threads_share_tells_each_its_own(seen: Telemetry) -> None:
    """The object is one, its entries are many."""
    shared = step("load")
    entered = threading.Barrier(2)

    def work(number: int) -> None:
        with shared:
            entered.wait(30)
            for _ in range(number):
                queries.count("SELECT 1", 0.5)
            entered.wait(30)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counted = sum((span.attributes or {}).get("db.query.count", 0) for span in seen.spans())
    assert counted == 3
