"""Processes that drain: one at a time, and what they leave behind."""

from __future__ import annotations

import signal
import time
from itertools import count
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from ledgers import drainer, flow, outbox, running, totals
from work.models import Flow

from etl_telemetry.django.ledger import (
    finish_run,
    waiting,
)
from etl_telemetry.django.ledger.entries import now_us
from etl_telemetry.django.ledger.models import Ledger, RunTotal
from etl_telemetry.metrics.totals import published
from etl_telemetry.stopping import SIGNALS

__all__ = ["flow"]

pytestmark = pytest.mark.django_db


def test_only_one_process_drains(flow: Flow) -> None:
    """The second one does nothing until the first one's lease ends, or it gives it up."""
    first, second = drainer(), drainer()
    finish_run(running(flow).pk, "success")
    assert first.drain() == 1
    finish_run(running(flow).pk, "success")
    assert second.drain() is None
    assert totals() == {("daily", "success"): 1}
    first.close()
    assert second.drain() == 1
    assert first.drain() is None
    Ledger.objects.update(held_until_us=now_us() - 1)
    assert first.drain() == 0
    assert totals() == {("daily", "success"): 2}


def test_process_that_comes_back_exports_what_another_one_counted(flow: Flow) -> None:
    """It was paused for longer than its lease: what it knew is old."""
    first, second = drainer(), drainer()
    finish_run(running(flow).pk, "success")
    first.drain()
    Ledger.objects.update(held_until_us=0)
    finish_run(running(flow).pk, "success")
    second.drain()
    second.close()
    assert first.drain() == 0
    snapshot = published()
    assert snapshot is not None
    assert [total.count for total in snapshot.by_labels.values()] == [2]


def test_process_that_lost_the_ledger_exports_nothing_of_it(flow: Flow) -> None:
    """Two writers of one series would look like resets."""
    finish_run(running(flow).pk, "success")
    first = drainer(lease=0.0)
    first.drain()
    snapshot = published()
    assert snapshot is not None
    assert snapshot.expired
    drainer().drain()
    first.drain()
    after = published()
    assert after is not None
    assert (after.by_labels, after.expired) == ({}, True)


def test_process_that_lost_the_ledger_within_a_report_tells_no_more_of_it(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage there are many batches, and each may take longer than the lease."""
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.BATCH", 2)
    for _ in range(6):
        finish_run(running(flow).pk, "success")
    flushed: list[str] = []

    def slow() -> bool:
        flushed.append("first")
        if len(flushed) == 2:
            Ledger.objects.update(holder="second", held_until_us=now_us() + 60_000_000)
        return True

    first = drainer(delivers=slow)
    assert first.drain() == 6
    # It may end its batch: a run that is told twice is the same span.
    assert (flushed, waiting()) == (["first", "first"], 2)
    assert first.drain() is None
    assert (flushed, waiting()) == (["first", "first"], 2)


def test_lease_is_kept_over_a_long_report(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each batch it, and what is exported, goes on."""
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.BATCH", 2)
    for _ in range(4):
        finish_run(running(flow).pk, "success")
    expired: list[bool] = []

    def slow() -> bool:
        snapshot = published()
        assert snapshot is not None
        expired.append(snapshot.expired)
        time.sleep(max(0.0, snapshot.until - time.monotonic() + 0.01))
        return True

    drainer(delivers=slow, lease=0.5).drain()
    assert expired == [False, False]


def test_ledger_that_another_process_had_meanwhile_is_read_again(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came and went within one batch: what this process exports is what it has left."""
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.BATCH", 2)
    for _ in range(4):
        finish_run(running(flow).pk, "success")
    second = drainer(delivers=lambda: False)

    def slow() -> bool:
        if RunTotal.objects.get().count == 4:
            finish_run(running(flow).pk, "success")
            Ledger.objects.update(held_until_us=0)
            second.drain()
            second.close()
        return True

    drainer(delivers=slow).drain()
    snapshot = published()
    assert snapshot is not None
    assert [(one.count, snapshot.expired) for one in snapshot.by_labels.values()] == [(5, False)]


def test_last_round_ends_at_its_deadline(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left waits in the outbox for the next process."""
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.BATCH", 2)
    for _ in range(6):
        finish_run(running(flow).pk, "success")
    one = drainer()
    assert one.drain(until=time.monotonic()) == 6
    assert waiting() == 4
    assert one.drain(until=time.monotonic() + 60) == 0
    assert waiting() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_does_not_wait_for_the_last_round(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does what it did before: a database that hangs must not hold a process that has to end."""
    before = [signal.getsignal(each) for each in SIGNALS]
    seen = []

    def set_up() -> SimpleNamespace:
        seen.append([signal.getsignal(each) for each in SIGNALS])
        signal.raise_signal(number)
        seen.append([signal.getsignal(each) for each in SIGNALS])
        return SimpleNamespace(active=False)

    monkeypatch.setattr("etl_telemetry.setup.setup_telemetry", set_up)
    with pytest.raises(CommandError, match="switched off"):
        call_command("telemetry_ledger")
    ours, afterwards = seen
    assert not set(ours) & set(before)
    assert afterwards == before


def test_ledger_is_given_up_even_where_its_database_is_away(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its lease ends by itself, and the process ends all the same."""
    finish_run(running(flow).pk, "success")
    one = drainer()
    one.drain()

    def away(*_: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr("etl_telemetry.django.ledger.drain.release", away)
    one.close()
    snapshot = published()
    assert snapshot is not None
    assert (snapshot.by_labels, snapshot.expired) == ({}, True)


def test_forgets_what_was_reported_long_ago(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox stays small, and an old run that is saved again is not counted again."""
    run = running(flow)
    finish_run(run, "success")
    drainer().drain()
    later = now_us() + 31 * 24 * 3_600_000_000
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.now_us", lambda: later)
    Ledger.objects.update(held_until_us=0)
    drainer().drain()
    assert outbox() == {}
    run.save()
    Ledger.objects.update(held_until_us=0)
    drainer().drain()
    assert (outbox(), totals()) == ({}, {("daily", "success"): 1})


def test_run_whose_end_its_table_does_not_say_is_not_counted_again(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved again it would end now: it stays known, however long ago it was reported."""
    run = running(flow)
    run.state = "DONE"
    run.save()
    drainer().drain()
    later = now_us() + 31 * 24 * 3_600_000_000
    for module in ("drain", "entries", "count"):
        monkeypatch.setattr(f"etl_telemetry.django.ledger.{module}.now_us", lambda: later)
    Ledger.objects.update(held_until_us=0)
    drainer().drain()
    run.save()
    Ledger.objects.update(held_until_us=0)
    drainer().drain()
    assert totals() == {("daily", "success"): 1}


def test_undated_run_that_its_table_does_not_have_any_more_is_forgotten(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be saved again; the others stay, a few are looked at in each turn."""
    runs = [running(flow) for _ in range(5)]
    for run in runs:
        run.state = "DONE"
        run.save()
    drainer().drain()
    kept = {str(run.pk) for run in runs}
    for run in runs[1:4]:
        kept.discard(str(run.pk))
        run.delete()
    later = count(now_us() + 31 * 24 * 3_600_000_000)
    for module in ("drain", "entries", "count"):
        monkeypatch.setattr(f"etl_telemetry.django.ledger.{module}.now_us", lambda: next(later))
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.LOOK_EVERY", 0.0)
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.UNDATED", 2)
    Ledger.objects.update(held_until_us=0)
    one, left = drainer(), []
    for _ in range(4):
        one.drain()
        left.append(len(outbox()))
    assert left == [4, 2, 2, 2]
    assert set(outbox()) == kept
    runs[4].delete()
    one.drain()
    one.drain()
    assert set(outbox()) == {str(runs[0].pk)}
