"""How runs end: once, in the transaction of the host, or not at all."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core import serializers
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from ledgers import flow, outbox, running
from work.models import Execution, Flow

from etl_telemetry.django.ledger import (
    afinish_run,
    finish_run,
)
from etl_telemetry.django.ledger.entries import microseconds, now_us
from etl_telemetry.django.ledger.models import RunEnd
from etl_telemetry.errors import LedgerError
from etl_telemetry.pipelines import begin_run

__all__ = ["flow"]

pytestmark = pytest.mark.django_db


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
