"""Writers, drainers and verification at the same time."""

from __future__ import annotations

import threading
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


def test_rows_that_change_meanwhile_are_refused() -> None:
    """An update whose rows another transaction has just changed does nothing, loudly."""
    if not connection.features.has_select_for_update:
        return  # SQLite has one writer: there is no meanwhile.
    one, two = (Pipeline.objects.create(name="a") for _ in range(2))
    locked, go = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():
            Pipeline.objects.filter(pk=one.pk).update(name="b")
            locked.set()
            go.wait(60)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_thread(other))
        assert locked.wait(60)

        def rename() -> int:
            return Pipeline.objects.filter(name="a").update(name="c")

        second = pool.submit(in_thread(rename))
        while not _somebody_waits():
            pass
        go.set()
        first.result()
        with pytest.raises(AuditError, match="changed by another transaction at the same time"):
            second.result()
    two.refresh_from_db()
    assert two.name == "a"


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
