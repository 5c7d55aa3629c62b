"""Writers, drainers and verification at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from audit_fixtures import kept
from django.db import connection, connections, transaction
from shop.models import Note, Pipeline

from etl_telemetry import audit
from etl_telemetry.django.audit import chain
from etl_telemetry.django.audit.verify import Verification
from etl_telemetry.django.models import AuditBlock, AuditRow
from etl_telemetry.errors import AuditError

WRITERS, EVENTS = 8, 25


def in_thread(act: Callable[[], object]) -> Callable[[], object]:
    """Close the thread's connections at its end."""

    def run() -> object:
        try:
            return act()
        finally:
            connections.close_all()

    return run


def write() -> None:
    """Commit some transactions with an event each, roll others back."""
    for number in range(EVENTS):
        with transaction.atomic():
            Note.objects.create(text="a")
            audit.record("done", resource={"type": "thing", "id": number})
            if number % 5 == 0:
                transaction.set_rollback(True)


def test_every_committed_event_is_in_one_block() -> None:
    """Eight writers, two that chain, one that verifies all the time: it is always right."""
    ended = threading.Event()
    found: list[str] = []

    def extend() -> None:
        while not ended.wait(0.01):
            chain.extend("default")

    def verify() -> None:
        while not ended.is_set():
            found.extend(Verification("default").problems())

    with ThreadPoolExecutor(WRITERS + 3) as pool:
        others = [pool.submit(in_thread(act)) for act in (extend, extend, verify)]
        writers = [pool.submit(in_thread(write)) for _ in range(WRITERS)]
        try:
            for one in writers:
                one.result()
        finally:
            ended.set()
        for one in others:
            one.result()
    while chain.extend("default") is not None:
        pass
    committed = WRITERS * (EVENTS - EVENTS // 5)
    assert AuditRow.objects.exclude(block=None).count() == Note.objects.count() == committed
    assert sum(AuditBlock.objects.values_list("rows", flat=True)) == committed
    assert [*found, *Verification("default").problems()] == []


@pytest.mark.parametrize("act", ["update", "save"])
def test_updates_of_the_same_row_tell_one_story(act: str) -> None:
    """Each event begins where the one before ended: the row is locked when it is read."""
    one = Pipeline.objects.create(name="a")

    def count() -> None:
        for _ in range(10):
            with transaction.atomic():
                if act == "update":
                    Pipeline.objects.filter(pk=one.pk).update(
                        priority=threading.get_ident() % 10**6
                    )
                else:
                    Pipeline.objects.select_for_update().get(pk=one.pk)
                    Pipeline(pk=one.pk, name="a", priority=threading.get_ident() % 10**6).save()

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(in_thread(count)) for _ in range(3)]:
            future.result()
    story = [event.details for event in kept()[1:]]
    for before, after in pairwise(story):
        assert after["before"] == before["after"]


def meanwhile(other: Callable[[], object], act: Callable[[], int]) -> int:
    """Return what `act` does that waits for a transaction of another one."""
    locked, go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            other()
            locked.set()
            go.wait(60)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_thread(hold))
        assert locked.wait(60)
        second = pool.submit(in_thread(act))
        while not _somebody_waits():
            time.sleep(0.2)  # InnoDB tells the same for 0.1 s after each look.
        go.set()
        first.result()
        return int(str(second.result()))


def test_rows_that_are_found_no_more_are_not_changed() -> None:
    """As without an audit: who was first has changed them, and the loser of a race learns it."""
    if not connection.features.has_select_for_update:
        return  # SQLite has one writer: there is no meanwhile.
    one, two = (Pipeline.objects.create(name="a") for _ in range(2))

    def name(old: str, new: str, **which: object) -> int:
        return Pipeline.objects.filter(name=old, **which).update(name=new)

    assert meanwhile(lambda: name("a", "b", pk=one.pk), lambda: name("a", "c")) == 1
    assert meanwhile(lambda: name("c", "d"), lambda: name("c", "e", pk=two.pk)) == 0
    told = [event.details for event in kept() if event.name == "pipeline_updated"]
    assert [(one["before"]["name"], one["after"]["name"]) for one in told] == [
        ("a", "b"), ("a", "c"), ("c", "d"),
    ]  # fmt: skip


def test_rows_that_are_found_only_meanwhile_are_refused() -> None:
    """Nobody has read them before the change: it does nothing, loudly."""
    if not connection.features.has_select_for_update:
        return
    one, two = Pipeline.objects.create(name="a"), Pipeline.objects.create(name="b")

    def other() -> None:
        Pipeline.objects.filter(pk=one.pk).update(priority=1)
        Pipeline.objects.filter(pk=two.pk).update(name="a")

    with pytest.raises(AuditError, match="changed by another transaction at the same time"):
        meanwhile(other, lambda: Pipeline.objects.filter(name="a").update(name="c"))
    assert sorted(Pipeline.objects.values_list("name", flat=True)) == ["a", "a"]


_WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING[connection.vendor])
        return bool(cursor.fetchone()[0])
