"""The ledger: what ends is counted once, what rolls back never was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import BaseCommand, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from ledgers import drainer, flow, outbox, running, totals
from work.models import Execution, Flow, Job, Team

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django.audit.models import AuditRow
from etl_telemetry.django.ledger import (
    active_run_ages,
    active_runs,
    end_overdue,
    finish_run,
    last_successes,
    waiting,
)
from etl_telemetry.django.ledger import count as counting
from etl_telemetry.django.ledger.entries import microseconds
from etl_telemetry.django.ledger.models import Ledger, RunEnd, RunTotal
from etl_telemetry.django.ledger.saved import find
from etl_telemetry.metrics.totals import published, withdraw_run_totals
from etl_telemetry.pipelines import report
from etl_telemetry.pipelines.run import root_context
from support.patience import ON_A_DATABASE

__all__ = ["flow"]

pytestmark = pytest.mark.django_db

WORDS = {
    "DONE": "success", "ERROR": "failed", "TIMEOUT": "failed", "STOPPED": "cancelled",
    "VANISHED": "lost",
}  # fmt: skip


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


def test_end_is_not_audited_as_the_act_of_who_drains(flow: Flow) -> None:
    """Who triggered the run did it; where its row names nobody, nobody is known."""
    user = User.objects.create(username="ann")
    runs = running(flow, triggered_by=user), running(flow)
    for run in runs:
        finish_run(run, "success")

    class Drain(BaseCommand):
        def handle(self, *_: object, **__: object) -> None:
            assert drainer().drain() == 2

    call_command(Drain())
    ends = AuditRow.objects.filter(name="pipeline_execution_finished").order_by("id")
    assert [
        (row.resource_id, row.actor, row.organization, row.told.get("triggered_by")) for row in ends
    ] == [
        (str(runs[0].pk), str(user.pk), "acme", str(user.pk)),
        (str(runs[1].pk), "unknown", "acme", None),
    ]


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
    """In the order in which they were written, whenever each began and ended; none left."""
    monkeypatch.setattr(counting, "BATCH", 3)
    monkeypatch.setattr("etl_telemetry.django.ledger.drain.BATCH", 3)
    told: list[str] = []
    tell = report.finished

    def finished(how: report.Finish, **options: Any) -> None:
        told.append(how.run.id)
        tell(how, **options)

    monkeypatch.setattr(report, "finished", finished)
    runs = [running(flow) for _ in range(8)]
    for number, run in enumerate(reversed(runs)):
        finish_run(run, "success", finished_at=run.begun + timedelta(seconds=number * 37 % 8))
    assert drainer().drain() == 8
    assert told == [str(run.pk) for run in reversed(runs)]
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


@ON_A_DATABASE
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
