"""The ledger: what ends is counted once, what rolls back never was."""

from __future__ import annotations

import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from work.models import Execution, Flow, Job, Team

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django.audit.models import AuditRow
from etl_telemetry.django.ledger import (
    Drainer,
    active_run_ages,
    active_runs,
    afinish_run,
    end_overdue,
    finish_run,
    last_successes,
    waiting,
)
from etl_telemetry.django.ledger import count as counting
from etl_telemetry.django.ledger.entries import microseconds, now_us
from etl_telemetry.django.ledger.models import Ledger, RunEnd, RunTotal
from etl_telemetry.django.ledger.saved import find
from etl_telemetry.errors import LedgerError
from etl_telemetry.metrics.totals import published, withdraw_run_totals
from etl_telemetry.pipelines import begin_run, report
from etl_telemetry.pipelines.run import root_context

pytestmark = pytest.mark.django_db
WORDS = {
    "DONE": "success", "ERROR": "failed", "TIMEOUT": "failed", "STOPPED": "cancelled",
    "VANISHED": "lost",
}  # fmt: skip


@pytest.fixture
def flow() -> Flow:
    """Make a pipeline."""
    return Flow.objects.create(title="daily", team=Team.objects.create(code="acme"))


def running(flow: Flow, **fields: Any) -> Execution:
    """Make a run that is under way, since a minute."""
    return Execution.objects.create(
        **{
            "flow": flow,
            "state": "RUNNING",
            "begun": timezone.now() - timedelta(minutes=1),
            **fields,
        }
    )


def outbox() -> dict[str, str]:
    """Return the entries: run -> status."""
    return dict(RunEnd.objects.values_list("run_id", "status"))


def totals() -> dict[tuple[str, str], int]:
    """Return what was counted: (pipeline, status) -> number."""
    return {(one.pipeline, one.status): one.count for one in RunTotal.objects.all()}


def drainer(*, delivers: Callable[[], bool] = lambda: True, lease: float = 60.0) -> Drainer:
    """Return a drainer whose exports succeed, unless told otherwise."""
    return Drainer(flush=delivers, lease=lease)


def test_finish_changes_the_run_and_writes_its_facts(flow: Flow) -> None:
    """State, time and error in the host's table; a copy of all facts in the outbox."""
    user = User.objects.create(username="ann")
    run = running(flow, triggered_by=user, origin="schedule", try_no=3)
    assert finish_run(run, "failed", error="Broken.")
    assert (run.state, run.problem, run.ended is not None) == ("ERROR", "Broken.", True)
    kept = Execution.objects.get()
    assert (kept.state, kept.ended, kept.problem) == (run.state, run.ended, run.problem)
    entry = RunEnd.objects.get()
    assert kept.ended is not None
    assert abs(entry.written_us - now_us()) < 60_000_000
    facts = {
        name: getattr(entry, name)
        for name in (
            "run_id", "pipeline", "organization", "status", "trigger", "triggered_by", "attempt",
            "started_us", "finished_us", "error", "error_type", "links", "is_change", "stage",
        )
    }  # fmt: skip
    assert facts == {
        "run_id": str(run.pk), "pipeline": "daily", "organization": "acme", "status": "failed",
        "trigger": "schedule", "triggered_by": str(user.pk), "attempt": 3,
        "started_us": microseconds(run.begun), "finished_us": microseconds(kept.ended),
        "error": "Broken.", "error_type": "", "links": [], "is_change": True, "stage": 0,
    }  # fmt: skip


def test_finish_by_key_and_by_the_hosts_own_status(flow: Flow) -> None:
    """A worker has the id only; and the host may be more exact than telemetry."""
    run = running(flow)
    moment = timezone.now() - timedelta(seconds=3)
    assert finish_run(str(run.pk), "TIMEOUT", finished_at=moment)
    run.refresh_from_db()
    assert (run.state, run.ended, outbox()) == ("TIMEOUT", moment, {str(run.pk): "failed"})


def test_first_finisher_wins(flow: Flow) -> None:
    """The second one changes nothing."""
    run = running(flow)
    assert finish_run(run.pk, "success")
    assert not finish_run(run.pk, "failed")
    assert not finish_run(uuid.uuid4(), "failed")
    assert (Execution.objects.get().state, outbox()) == ("DONE", {str(run.pk): "success"})


def test_rollback_leaves_nothing(flow: Flow) -> None:
    """Neither the state nor the entry; and the run can end later."""
    run = running(flow)
    with transaction.atomic():
        assert finish_run(run.pk, "success")
        transaction.set_rollback(True)
    assert (Execution.objects.get().state, outbox()) == ("RUNNING", {})
    assert finish_run(run.pk, "success")


@pytest.mark.django_db(transaction=True)
def test_state_and_entry_belong_together(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a transaction of the host's, too: where the entry fails, the run has not ended."""
    run = running(flow)
    monkeypatch.setattr(RunEnd._meta, "db_table", "no_such_table")
    with pytest.raises(DatabaseError):
        finish_run(run.pk, "success")
    monkeypatch.undo()
    assert Execution.objects.get().state == "RUNNING"


def test_run_that_was_opened_again_ends_again_and_is_not_counted_again(flow: Flow) -> None:
    """Another attempt in the same row is the host's business; the run was counted."""
    run = running(flow)
    finish_run(run.pk, "failed")
    Execution.objects.update(state="RUNNING", ended=None)
    assert finish_run(run.pk, "success")
    assert (Execution.objects.get().state, outbox()) == ("DONE", {str(run.pk): "failed"})


def test_two_queries_more_than_the_update(flow: Flow) -> None:
    """The facts are read, the entry is written; the rest are savepoints."""
    run = running(flow)
    finish_run(running(flow).pk, "success")
    with CaptureQueriesContext(connection) as captured:
        finish_run(run.pk, "success")
    words = [query["sql"].split()[0] for query in captured.captured_queries]
    assert [word for word in words if word not in {"SAVEPOINT", "RELEASE"}] == [
        "UPDATE", "SELECT", "INSERT",
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["running", "RUNNING", "finished", None])
def test_status_that_is_no_end_is_refused(flow: Flow, status: Any) -> None:
    """It is the host's own change of state, so the host must hear of it."""
    run = running(flow)
    with pytest.raises(LedgerError) as caught:
        finish_run(run.pk, status)
    assert str(caught.value) == (
        "the status of a run that ended must be one of success, failed, cancelled, lost, DONE, "
        f"ERROR, TIMEOUT, STOPPED, VANISHED, got {status!r} (from finish_run)"
    )
    assert (Execution.objects.get().state, outbox()) == ("RUNNING", {})


def test_database_without_a_ledger_is_refused(flow: Flow) -> None:
    """Nobody would ever count what ends there."""
    with pytest.raises(LedgerError) as caught:
        finish_run(running(flow).pk, "success", using="elsewhere")
    assert str(caught.value) == (
        "runs must be in one of the databases default, got 'elsewhere'; name it in "
        "ETL_TELEMETRY['MODELS']['run']['databases']"
    )


def test_error_is_kept_without_the_data_that_it_quotes(flow: Flow) -> None:
    """An exception has its type; the row that PostgreSQL quotes stays out of every table."""
    run = running(flow)
    finish_run(run, "failed", error=ValueError("twice\nDETAIL:  Key (mail)=(ann@b.c) \x00exists."))
    assert run.problem == "twice\nDETAIL: ?"
    entry = RunEnd.objects.get()
    assert (entry.error, entry.error_type) == ("twice\nDETAIL: ?", "ValueError")


def test_absurd_facts_never_break_the_host(flow: Flow) -> None:
    """They are coerced as on every label."""
    Flow.objects.update(title="x" * 100)
    run = running(flow, origin="", try_no=0)
    assert finish_run(run, "success", error="ignored for a success?")
    entry = RunEnd.objects.get()
    assert (entry.pipeline, entry.trigger, entry.attempt) == ("x" * 100, "", 0)


def test_request_that_led_to_the_run_is_linked(flow: Flow) -> None:
    """Inside of the run its links are known, and kept for the process that emits the span."""
    run = running(flow)
    with (
        begin_run("other", organization="acme") as other,
        begin_run("daily", organization="acme", run_id=run.pk, links=[other.span_context]),
    ):
        finish_run(run.pk, "success")
    entry = RunEnd.objects.get()
    span = other.span_context
    assert entry.links == [[f"{span.trace_id:032x}", f"{span.span_id:016x}"]]


@pytest.mark.django_db(transaction=True)
def test_finish_from_asynchronous_code(flow: Flow) -> None:
    """The same, awaited."""
    run = running(flow)
    assert async_to_sync(afinish_run)(run.pk, "success")
    assert outbox() == {str(run.pk): "success"}


def test_run_that_the_host_saves_itself(flow: Flow) -> None:
    """A save with an end writes one entry; one without, or of other fields, writes none."""
    run = running(flow)
    run.save()
    assert outbox() == {}
    run.state, run.ended, run.problem = "ERROR", timezone.now(), "Broken."
    run.save(update_fields=["problem"])
    assert outbox() == {}
    run.save(update_fields=["state", "ended"])
    run.save()
    run.state = "DONE"  # Another attempt in the same row: the run was counted.
    run.save()
    (entry,) = RunEnd.objects.all()
    assert (entry.run_id, entry.status, entry.error, entry.is_change) == (
        str(run.pk), "failed", "Broken.", False,
    )  # fmt: skip


def test_deferred_status_is_not_loaded_for_us(flow: Flow) -> None:
    """No query for a run whose state nobody looked at."""
    pk = running(flow).pk
    run = Execution.objects.only("problem").get(pk=pk)
    with CaptureQueriesContext(connection) as captured:
        run.save()
    assert len(captured) == 1


def test_fixture_is_history(flow: Flow) -> None:
    """`loaddata` brings runs of another place."""
    run = running(flow, state="DONE", ended=timezone.now())
    RunEnd.objects.all().delete()
    for loaded in serializers.deserialize("json", serializers.serialize("json", [run])):
        loaded.save()
    assert outbox() == {}


def test_failure_of_ours_leaves_the_hosts_transaction_whole(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save goes through whatever happens to its entry."""
    run = running(flow, state="QUEUED")
    monkeypatch.setattr(RunEnd._meta, "db_table", "no_such_table")
    run.state = "DONE"
    run.save()
    monkeypatch.undo()
    assert Execution.objects.get().state == "DONE"


def test_bulk_updates_are_found(flow: Flow) -> None:
    """They send no signal: the drainer looks for them."""
    runs = [running(flow) for _ in range(3)]
    drainer().drain()
    Execution.objects.update(state="DONE", ended=timezone.now())
    finish_run(runs[0].pk, "failed")  # Too late: it has ended.
    assert find("default", since_us=0) == 3
    assert find("default", since_us=0) == 0
    assert outbox() == {str(run.pk): "success" for run in runs}


def test_history_is_not_counted(flow: Flow) -> None:
    """What ended before the ledger began stays uncounted, also when it is saved again."""
    old = timezone.now() - timedelta(days=3)
    run = running(flow, state="DONE", ended=old)
    one = drainer()
    assert one.drain() == 1
    assert (outbox(), totals()) == ({}, {})
    run.save()
    assert one.drain() == 1
    assert (outbox(), totals()) == ({}, {})


def test_end_in_the_past_is_counted_where_the_ledger_changed_the_state(flow: Flow) -> None:
    """A change of state is new, whenever it happened."""
    finish_run(running(flow).pk, "success", finished_at=timezone.now() - timedelta(days=3))
    assert drainer().drain() == 1
    assert totals() == {("daily", "success"): 1}


def test_totals_have_count_sum_and_buckets(flow: Flow) -> None:
    """To the microsecond; a run that ended before it began has no duration."""
    begun = timezone.now() - timedelta(hours=2)
    for seconds in (1.0, 1.000001, 5.0, 3600.25, -1.0):
        run = running(flow, begun=begun)
        finish_run(run, "success", finished_at=begun + timedelta(seconds=seconds))
    assert drainer().drain() == 5
    total = RunTotal.objects.get()
    assert (total.count, total.microseconds) == (5, 3_607_250_001)
    assert total.buckets == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    snapshot = published()
    assert snapshot is not None
    (seen,) = snapshot.by_labels.values()
    assert (seen.count, seen.seconds, seen.buckets) == (5, 3_607.250001, tuple(total.buckets))


def test_what_is_not_delivered_stays(flow: Flow) -> None:
    """Counted once all the same, and reported when it can be."""
    finish_run(running(flow).pk, "success")
    answers = iter([False, True])
    one = drainer(delivers=lambda: next(answers))
    assert one.drain() == 1
    assert list(RunEnd.objects.values_list("stage", flat=True)) == [RunEnd.COUNTED]
    assert [total.announced for total in RunTotal.objects.all()] == [False]
    assert one.drain() == 0
    assert list(RunEnd.objects.values_list("stage", flat=True)) == [RunEnd.REPORTED]
    assert [(total.count, total.announced) for total in RunTotal.objects.all()] == [(1, True)]


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
def test_second_signal_does_not_wait_for_the_last_round(number: signal.Signals) -> None:
    """It does what it did before: a database that hangs must not hold a process that has to end."""
    words = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(word) for word in words]
    try:
        with pytest.raises(CommandError, match="switched off"):
            call_command("telemetry_ledger")
        assert all(signal.getsignal(word) not in before for word in words)
        signal.raise_signal(number)
        assert [signal.getsignal(word) for word in words] == before
    finally:
        for word, handler in zip(words, before, strict=True):
            signal.signal(word, handler)


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


@pytest.mark.parametrize("other", ["Daily", "dáily", "daily "])
def test_names_that_a_database_takes_for_one_are_two(flow: Flow, other: str) -> None:
    """MySQL compares without regard to capitals, accents and spaces at the end."""
    second = Flow.objects.create(title=other, team=flow.team)
    for _ in range(2):
        for one in (flow, second):
            finish_run(running(one).pk, "success")
        drainer(lease=0.0).drain()
    assert totals() == {("daily", "success"): 2, (other, "success"): 2}
    assert set(RunTotal.objects.values_list("announced", flat=True)) == {True}
    for one in (flow, second):
        running(one)
    assert {name for name, _ in active_run_ages()} == {"daily", other}


def audited() -> list[tuple[str, str, dict[str, Any]]]:
    """Return the audit events: name, run, details."""
    rows = AuditRow.objects.order_by("id")
    return [(row.name, row.resource_id, row.told) for row in rows]


def test_end_is_audited_in_the_transaction_that_counts_it(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, in the run's trace: neither lost nor told twice where what follows is killed."""
    run = running(flow, origin="schedule")
    finish_run(run, "failed", finished_at=run.begun + timedelta(seconds=2))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    def audit_and_die(using: str, counted: Sequence[RunEnd]) -> None:
        assert audit(using, counted)
        die()

    audit = counting._audit
    monkeypatch.setattr(counting, "_audit", audit_and_die)
    with pytest.raises(KeyboardInterrupt):
        drainer().drain()
    assert (audited(), totals()) == ([], {})
    monkeypatch.setattr(counting, "_audit", audit)
    with monkeypatch.context() as patch:
        patch.setattr("etl_telemetry.django.ledger.drain.snapshot", die)
        with pytest.raises(KeyboardInterrupt):
            drainer().drain()
    for _ in range(2):
        Ledger.objects.update(held_until_us=0)
        drainer().drain()
    details = {
        "pipeline_name": "daily", "trigger_type": "schedule", "status": "failed", "duration": 2.0,
    }  # fmt: skip
    assert audited() == [("pipeline_execution_finished", str(run.pk), details)]
    assert AuditRow.objects.get().trace_id == f"{root_context(str(run.pk)).trace_id:032x}"
    assert totals() == {("daily", "failed"): 1}


def test_end_that_cannot_be_audited_is_counted(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is no audited action; its event has another chance when it is reported."""
    monkeypatch.setattr("etl_telemetry.django.ledger.count.report.audit_event", lambda _: 1 / 0)
    finish_run(running(flow).pk, "success")
    drainer().drain()
    assert totals() == {("daily", "success"): 1}


def test_ends_of_a_batch_are_audited_at_once(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in the trace of its run; and one that cannot be kept costs no other its event."""
    runs = [running(flow) for _ in range(4)]
    for run in runs[:3]:
        finish_run(run.pk, "success")
    with CaptureQueriesContext(connection) as queries:
        drainer().drain()
    table = AuditRow._meta.db_table
    inserts = [
        one
        for one in queries
        if one["sql"].startswith(f"INSERT INTO {connection.ops.quote_name(table)}")
    ]
    assert len(inserts) == 1
    rows = {row.resource_id: (row.trace_id, row.run_id) for row in AuditRow.objects.all()}
    told = {str(run.pk): f"{root_context(str(run.pk)).trace_id:032x}" for run in runs[:3]}
    assert rows == {run_id: (trace_id, run_id) for run_id, trace_id in told.items()}
    make, bad = report.audit_event, str(runs[0].pk)
    RunEnd.objects.update(stage=RunEnd.WRITTEN, is_audited=False)
    AuditRow.objects.all().delete()

    def failing(how: report.Finish) -> Any:
        return 1 / 0 if how.run.id == bad else make(how)

    monkeypatch.setattr("etl_telemetry.django.ledger.count.report.audit_event", failing)
    Ledger.objects.update(held_until_us=0)
    assert drainer().drain() == 3
    kept = set(AuditRow.objects.values_list("resource_id", flat=True))
    assert kept == set(told) - {bad}
    assert set(RunEnd.objects.filter(is_audited=True).values_list("run_id", flat=True)) == kept


def test_many_runs_are_counted_in_batches(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they were written, none left."""
    monkeypatch.setattr(counting, "BATCH", 3)
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.BATCH", 3)
    for _ in range(8):
        finish_run(running(flow).pk, "success")
    assert drainer().drain() == 8
    assert totals() == {("daily", "success"): 8}
    assert set(RunEnd.objects.values_list("stage", flat=True)) == {RunEnd.REPORTED}


def test_active_runs_and_last_successes_are_those_of_the_table(flow: Flow) -> None:
    """Pending and running; and the newest end among the successes of each pipeline."""
    Flow.objects.create(title="never", team=flow.team)
    moment = timezone.now() - timedelta(hours=1)
    for state, minutes in (("DONE", 3), ("DONE", 1), ("ERROR", 0), ("DONE", 2)):
        running(flow, state=state, ended=moment - timedelta(minutes=minutes))
    running(flow)
    running(flow, state="QUEUED")
    assert active_runs() == 2
    assert last_successes() == {
        ("daily", "acme"): microseconds(moment - timedelta(minutes=1)) / 1e6
    }


def test_runs_wait_until_they_are_reported(flow: Flow) -> None:
    """What ended waits in the outbox, counted or not, until it was delivered."""
    running(flow)
    assert waiting() == 0
    finish_run(running(flow).pk, "success")
    assert waiting() == 1
    answers = [False, True]
    current = drainer(delivers=lambda: answers.pop(0))
    current.drain()
    assert waiting() == 1
    current.drain()
    assert waiting() == 0


def test_overdue_runs_end_once(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """After their own deadline, else the configured one; as cancelled where that was asked for."""
    now = timezone.now()
    second = timedelta(seconds=1)
    runs = {
        "own deadline": running(flow, due=now - second),
        "asked to stop": running(flow, due=now - second, stop_asked=True),
        "in time": running(flow, due=now + timedelta(hours=1), begun=now - timedelta(days=3)),
        "ended": running(flow, due=now - second, state="DONE"),
        "long ago": running(flow, begun=now - timedelta(days=3)),
        "not long ago": running(flow),
    }
    assert end_overdue(now=now) == 2
    telemetry = setup.Telemetry(Config(run_deadline=86_400.0), None)
    monkeypatch.setattr(setup._process, "telemetry", telemetry)
    assert end_overdue(now=now) == 1
    assert end_overdue(now=now) == 0
    states = {name: Execution.objects.get(pk=run.pk).state for name, run in runs.items()}
    assert states == {
        "own deadline": "VANISHED", "asked to stop": "STOPPED", "in time": "RUNNING",
        "ended": "DONE", "long ago": "VANISHED", "not long ago": "RUNNING",
    }  # fmt: skip
    assert (
        Execution.objects.get(pk=runs["long ago"].pk).problem == "Nobody finished the run in time."
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["finish", "rolled back", "save", "bulk"]),
                  st.sampled_from(list(WORDS)), st.integers(0, 5)),
        st.tuples(st.sampled_from(["drain", "fails", "restart"]), st.just(""), st.just(0)),
    ),
    max_size=25,
)  # fmt: skip


@settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_totals_equal_the_table(steps: list[tuple[str, str, int]]) -> None:
    """However runs end, and whatever happens to the process that drains."""
    with transaction.atomic():
        flow = Flow.objects.create(title="daily", team=Team.objects.create(code="acme"))
        answer = [True]
        current = drainer(delivers=lambda: answer[0])
        current.drain()
        for step, state, seconds in steps:
            if step in {"drain", "fails"}:
                answer[0] = step == "drain"
                current.drain()
            elif step == "restart":
                Ledger.objects.update(held_until_us=0)
                current = drainer(delivers=lambda: answer[0])
            else:
                _end(flow, step, state, seconds)
        answer[0] = True
        find("default", since_us=0)
        current.drain()
        ended = Execution.objects.filter(state__in=WORDS).values_list("state", flat=True)
        assert totals() == dict(Counter(("daily", WORDS[state]) for state in ended))
        assert set(RunEnd.objects.values_list("stage", flat=True)) <= {RunEnd.REPORTED}
        transaction.set_rollback(True)
    withdraw_run_totals()


def _end(flow: Flow, how: str, state: str, seconds: int) -> None:
    """End a run in one of the ways in which hosts do."""
    now = timezone.now()
    run = running(flow, begun=now - timedelta(seconds=seconds))
    if how == "finish":
        assert finish_run(run, state)
    elif how == "save":
        run.state, run.ended = state, now
        run.save()
    elif how == "bulk":
        Execution.objects.filter(pk=run.pk).update(state=state, ended=now)
    else:
        with transaction.atomic():
            finish_run(run.pk, state)
            transaction.set_rollback(True)


def test_deleted_run_stays_counted(flow: Flow) -> None:
    """The entry has all that its span needs."""
    run = running(flow)
    finish_run(run.pk, "success")
    Job.objects.all().delete()
    run.delete()
    assert drainer().drain() == 1
    assert totals() == {("daily", "success"): 1}
