"""The chain: each event is exported once, in order, and retention leaves the rest verifiable."""

from __future__ import annotations

import json
import logging
import re
import time
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from time import time_ns

import pytest
from audit_chains import RIGHT, Keeper, blocks, drainer, head, problems, stream, write
from audit_fixtures import kept
from django.core.management import CommandError, call_command
from django.db import OperationalError, transaction
from django.test import override_settings

from etl_telemetry import audit
from etl_telemetry.django import observed
from etl_telemetry.django.audit import chain, drain, store, waiting
from etl_telemetry.django.audit.drain import Drained
from etl_telemetry.django.audit.pruning import prune
from etl_telemetry.django.audit.verify import Verification
from etl_telemetry.django.models import AuditBlock, AuditChain, AuditRow

__all__ = ["stream"]


def test_events_are_exported_once(stream: Keeper) -> None:
    """In order, with their own time and id; a second pass exports nothing."""
    before = time_ns()
    write(1, 2, 3)
    assert drainer().drain("default") == Drained("default", chained=3, exported=3)
    assert drainer().drain("default") == Drained("default")
    rows = list(AuditRow.objects.order_by("id"))
    assert stream.uids() == [row.uid for row in rows]
    first = vars(stream.records[0])
    assert (first["msg"], first["audit.actor"], first["audit.resource.id"]) == ("done", "7", "1")
    assert before <= int(first["created"] * 1e9) + 1_000_000 <= time_ns() + 1_000_000
    assert first["created"] == pytest.approx(rows[0].occurred_us / 1e6)


def test_what_is_not_delivered_is_exported_again_under_the_same_id(stream: Keeper) -> None:
    """A drainer that dies or gets no answer repeats: the same document, whoever repeats it."""
    write(1, 2)
    assert drainer(flush=lambda: False).drain("default") == Drained("default", chained=2, waiting=1)
    assert waiting() == 2
    assert drainer().drain("default") == Drained("default", exported=2)
    assert waiting() == 0
    assert stream.uids()[:2] == stream.uids()[2:]


def test_the_next_block_waits_for_the_one_before(stream: Keeper) -> None:
    """Order survives a Collector that is away."""
    write(1)
    drainer(flush=lambda: False).drain("default")
    write(2)
    assert drainer(flush=lambda: False).drain("default").waiting == 2
    drainer().drain("default")
    assert [vars(r)["audit.resource.id"] for r in stream.records] == ["1", "1", "1", "2"]


def test_a_rolled_back_event_is_never_exported(stream: Keeper) -> None:
    """It was never there."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write(1)
        raise ZeroDivisionError
    write(2)
    assert drainer().drain("default").exported == 1
    assert [vars(r)["audit.resource.id"] for r in stream.records] == ["2"]


def test_a_second_drainer_waits() -> None:
    """One drains; the other takes over where the first released it, or did not come back."""
    write(1)
    one, two = drainer(holder="one"), drainer(holder="two")
    one.drain("default")
    one.drain("default")
    assert two.drain("default") == Drained("default", busy=True)
    AuditChain.objects.update(held_until_us=time_ns() // 1_000 - 1)
    assert two.drain("default") == Drained("default")
    assert one.drain("default").busy
    two.release()
    assert not one.drain("default").busy


def test_two_processes_of_one_name_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and process id may be the same in two containers."""
    monkeypatch.setattr("os.getpid", lambda: 7)
    write(1)
    drainer().drain("default")
    assert not drainer().drain("default").busy
    (held,) = AuditChain.objects.exclude(holder="").values_list("holder", flat=True)
    assert len(held) <= 64
    monkeypatch.setattr("os.getpid", lambda: 8)  # A child that was forked.
    assert drainer().drain("default").busy
    drain.name_of_process.cache_clear()  # Another process.
    monkeypatch.setattr("os.getpid", lambda: 7)
    assert drainer().drain("default").busy


@pytest.mark.parametrize("is_away", [False, True])
def test_an_observer_gives_the_chain_back_after_each_reading(
    is_away: bool,  # noqa: FBT001 - a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next one, which takes over when it stops, need not wait for the end of its lease."""
    write(1)
    if is_away:

        def fail(using: str) -> int:
            raise OperationalError("away")

        monkeypatch.setattr(drain, "waiting", fail)
    with pytest.raises(OperationalError) if is_away else nullcontext():
        assert list(observed._audit())
    assert set(AuditChain.objects.values_list("holder", "held_until_us")) == {("", 0)}


def test_large_backlogs_become_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has so many rows at most, and the delivery is asked for in between."""
    monkeypatch.setattr(chain, "BLOCK", 4)
    asked: list[int] = []
    write(*range(10))
    done = drainer(batch=2, flush=lambda: asked.append(1) is None).drain("default")
    assert done == Drained("default", chained=10, exported=10)
    assert list(AuditBlock.objects.values_list("rows", flat=True)) == [4, 4, 2]
    assert len(asked) >= 5
    assert problems() == RIGHT


def test_what_is_late_waits_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its time a pass begins no further block; the next one goes on."""
    monkeypatch.setattr(chain, "BLOCK", 4)
    write(*range(10))
    late = drainer().drain_all(until=time.monotonic())
    assert Drained("default", chained=4, exported=4) in late
    soon = drainer().drain_all(until=time.monotonic() + 60)
    assert Drained("default", chained=6, exported=6) in soon
    assert problems() == RIGHT


def test_databases_have_chains_of_their_own() -> None:
    """Each database is drained and verified by itself."""
    with transaction.atomic(using="second"):
        write(1)  # The only transaction that is open is that of the second database.
    write(2)
    assert (len(kept()), len(kept("second"))) == (1, 1)
    found = drainer().drain_all()
    assert [(one.database, one.chained) for one in found] == [("default", 1), ("second", 1)]
    assert list(Verification("second").problems()) == RIGHT


def test_retention_keeps_the_rest_verifiable() -> None:
    """Old blocks go, an event says so, and the rest begins where it says."""
    blocks(2, 1, 2)
    published = head()
    cut = AuditBlock.objects.get(number=2).newest_us + 1
    assert prune("default", before_us=cut) == 3
    assert problems(published) == RIGHT
    drainer().drain("default")
    assert problems(published, head()) == RIGHT
    assert kept()[-1].details["through"] == 2
    assert prune("default", before_us=time_ns() // 1_000) == 3
    assert problems(published) == RIGHT
    drainer().drain("default")
    write(9)
    drainer().drain("default")
    assert problems(published, head()) == RIGHT


def test_who_deletes_by_hand_is_found_after_retention() -> None:
    """The event of the retention command covers what it deleted, and nothing more."""
    blocks(2, 1, 2, 1)
    prune("default", before_us=AuditBlock.objects.get(number=1).newest_us + 1)
    drainer().drain("default")
    AuditRow.objects.filter(block=2).delete()
    AuditBlock.objects.filter(number=2).delete()
    said = (
        "the blocks up to 2 are missing, and no audit event of the retention command says that "
        "it deleted them"
    )
    assert problems() == [said]


def test_who_deletes_by_hand_cannot_say_that_retention_did_it() -> None:
    """An event under a key that nobody knows is anybody's."""
    blocks(2, 1)
    first = AuditBlock.objects.get(number=1)
    AuditRow.objects.filter(block=1).delete()
    AuditBlock.objects.filter(number=1).delete()
    event = audit.made(
        "audit_pruned",
        resource={"type": "audit", "id": "default"},
        details={"through": 1, "digest": first.digest, "rows": 2},
    )
    with override_settings(SECRET_KEY="mallory's"):
        assert store.keep((event,), using="default")
    said = (
        "the blocks up to 1 are missing, and no audit event of the retention command says that "
        "it deleted them"
    )
    assert said in problems()


def test_what_was_not_exported_stays() -> None:
    """Retention deletes nothing that the audit stream does not have."""
    blocks(1)
    write(1)
    drainer(flush=lambda: False).drain("default")
    assert prune("default", before_us=time_ns() // 1_000) == 1
    assert AuditRow.objects.filter(name="done").count() == 1


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`audit_verify` and `audit_prune` say what they found and did; problems are exit code 1."""
    file = tmp_path / "heads.jsonl"
    write(1, 2)
    drainer(heads_file=file).drain("default")
    write(3)
    drainer(heads_file=file).drain("default")
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["database"], line["number"]) for line in told] == [("default", 1), ("default", 2)]

    def run(*words: str) -> str:
        out = StringIO()
        call_command(*words, stdout=out)
        return out.getvalue()

    right = "3 events in 2 blocks: nothing was altered, inserted or removed\n"
    assert run("audit_verify") == right
    assert run("audit_verify", "--heads", str(file)) == right
    assert run("audit_verify", "--head", f"2:{told[1]['digest']}") == right
    with pytest.raises(CommandError, match=r"^3 events in 2 blocks: 1 problems$"):
        run("audit_verify", "--head", "2:" + "0" * 64)
    with pytest.raises(CommandError, match=r"^--head must be a number, a colon and 64 hex"):
        run("audit_verify", "--head", "2")
    with pytest.raises(CommandError, match=r"^the published heads cannot be read: line 1 of"):
        (tmp_path / "no.jsonl").write_text("nonsense\n")
        run("audit_verify", "--heads", str(tmp_path / "no.jsonl"))
    with pytest.raises(CommandError, match=r"^the database 'bare' has no audit table"):
        run("audit_verify", "--database", "bare")
    assert run("audit_prune", "--older-than", "1") == "0 events deleted\n"
    assert run("audit_prune", "--older-than", "0") == "3 events deleted\n"
    with pytest.raises(CommandError, match=r"^--older-than must be at least 0, got -1$"):
        run("audit_prune", "--older-than=-1")


def test_heads_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log stream has each head too."""
    caplog.set_level(logging.INFO)
    blocks(2)
    (said,) = [vars(one) for one in caplog.records if one.message == "audit_head"]
    told = head()
    assert (said["audit.block.number"], said["audit.block.digest"], said["audit.block.rows"]) == (
        1, told.digest, 2,
    )  # fmt: skip
    assert re.fullmatch("[0-9a-f]{64}", told.digest)


def test_nobody_drains(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that wait too long are an error in the log of who writes the next one."""
    write(1)
    AuditRow.objects.update(occurred_us=time_ns() // 1_000 - 301_000_000)
    write(2)
    monkeypatch.setattr(store._watchman, "next_look", 0.0)
    write(3, 4)
    said = [vars(one) for one in caplog.records if one.message == "audit_not_drained"]
    assert [(one["levelname"], one["audit.database"]) for one in said] == [("ERROR", "default")]


def test_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are drained all the same."""
    write(1)
    real = store.is_migrated

    def is_migrated(using: str) -> bool:
        if using == "second":
            raise OperationalError("no route to host")
        return real(using)

    monkeypatch.setattr(store, "is_migrated", is_migrated)
    assert drainer().drain_all() == [
        Drained("default", chained=1, exported=1),
        Drained("second", error="OperationalError: no route to host"),
    ]


class Replica:
    """A router that knows that one database is a copy."""

    def allow_migrate(self, db: str, app_label: str, **_: object) -> bool:
        """Refuse the copy."""
        return db != "second"


@override_settings(DATABASE_ROUTERS=[Replica()])
def test_a_replica_is_not_drained() -> None:
    """It has the table, and cannot be written."""
    assert [one.database for one in drainer().drain_all()] == ["default"]
