"""The chain: each event is exported once, and nothing can be changed unseen."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from time import time_ns
from typing import Any

import pytest
from audit_fixtures import kept
from django.core.management import CommandError, call_command
from django.db import OperationalError, transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_telemetry import audit
from etl_telemetry.django import observed
from etl_telemetry.django.audit import chain, drain, heads, sealing, store, waiting
from etl_telemetry.django.audit.drain import Drained, Drainer
from etl_telemetry.django.audit.pruning import prune
from etl_telemetry.django.audit.verify import Verification
from etl_telemetry.django.models import AuditBlock, AuditChain, AuditRow

MANY = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RIGHT: list[str] = []
TEXTS = (
    "uid", "name", "actor", "organization", "resource_type", "resource_id", "details", "trace_id",
    "span_id", "run_id", "key_id", "seal", "outcome",
)  # fmt: skip


class Keeper(logging.Handler):
    """Keep what the audit logger was given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.records.append(record)

    def uids(self) -> list[str]:
        """Return the ids of the events, in order."""
        return [vars(record)["log.record.uid"] for record in self.records]


@pytest.fixture
def stream() -> Iterator[Keeper]:
    """Give the audit stream."""
    keeper, logger = Keeper(), logging.getLogger("etl_telemetry.audit")
    logger.addHandler(keeper)
    yield keeper
    logger.removeHandler(keeper)


def write(*numbers: int) -> None:
    """Write some events."""
    for number in numbers:
        audit.record("done", actor=7, resource={"type": "thing", "id": number})


def drainer(**options: Any) -> Drainer:
    """Return a drainer whose deliveries succeed."""
    return Drainer(**{"flush": lambda: True, **options})


def problems(*published: heads.Head) -> list[str]:
    """Verify."""
    return list(Verification("default", published).problems())


def blocks(*sizes: int) -> None:
    """Write and chain blocks of some sizes."""
    number = 0
    for size in sizes:
        write(*range(number, number + size))
        number += size
        drainer().drain("default")


def head() -> heads.Head:
    """Return the last head."""
    last = AuditBlock.objects.latest("number")
    return heads.Head(last.number, last.digest)


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


def test_databases_have_chains_of_their_own() -> None:
    """Each database is drained and verified by itself."""
    with transaction.atomic(using="second"):
        write(1)  # The only transaction that is open is that of the second database.
    write(2)
    assert (len(kept()), len(kept("second"))) == (1, 1)
    found = drainer().drain_all()
    assert [(one.database, one.chained) for one in found] == [("default", 1), ("second", 1)]
    assert list(Verification("second").problems()) == RIGHT


def test_an_untouched_chain_is_right() -> None:
    """Blocks of any size, rows that wait, and nothing at all."""
    assert problems() == RIGHT
    blocks(1, 3, 2)
    assert problems(head()) == RIGHT
    write(7)
    assert problems(head()) == RIGHT


@pytest.fixture
def chained() -> None:
    """Chain eight rows in four blocks; two more wait."""
    blocks(3, 1, 2, 2)
    write(8, 9)


def undone(change: Any) -> list[str]:
    """Verify after a change, then undo it."""
    found: list[str] = []
    with transaction.atomic():
        change()
        found += problems(head_before[0])
        transaction.set_rollback(True)
    return found


head_before: list[heads.Head] = []


@MANY
@given(row=st.integers(0, 9), column=st.sampled_from(TEXTS), text=st.text("ab0\u00e9", max_size=6))
def test_any_altered_row_is_found(chained: None, row: int, column: str, text: str) -> None:
    """Each column of each row, also of those that are not chained yet."""
    key = AuditRow.objects.order_by("id").values_list("pk", flat=True)[row]
    head_before[:] = [head()]
    if getattr(AuditRow.objects.get(pk=key), column) != text:
        assert undone(lambda: AuditRow.objects.filter(pk=key).update(**{column: text}))
    assert problems(head()) == RIGHT


@MANY
@given(
    row=st.integers(0, 9),
    column=st.sampled_from(["id", "occurred_us", "block"]),
    step=st.integers(-9, 9).filter(bool),
)
def test_any_altered_number_is_found(chained: None, row: int, column: str, step: int) -> None:
    """Ids, times, and rows that are moved to another block, or out of theirs."""
    one = AuditRow.objects.order_by("id")[row]
    if column == "id" and (
        AuditRow.objects.filter(pk=one.pk + step * 100).exists() or one.block is None
    ):
        return  # The id of a row that waits is not sealed: nobody knows it when it is written.
    value = {
        "id": one.pk + step * 100,
        "occurred_us": one.occurred_us + step,
        "block": None if one.block is not None and step == 1 else (one.block or 0) + step,
    }
    head_before[:] = [head()]
    assert undone(lambda: AuditRow.objects.filter(pk=one.pk).update(**{column: value[column]}))
    assert problems(head()) == RIGHT


@MANY
@given(row=st.integers(0, 7))
def test_any_removed_row_is_found(chained: None, row: int) -> None:
    """The last one included, once it is chained."""
    key = AuditRow.objects.order_by("id").values_list("pk", flat=True)[row]
    head_before[:] = [head()]
    assert undone(lambda: AuditRow.objects.filter(pk=key).delete())


@MANY
@given(
    copied=st.integers(0, 9),
    block=st.sampled_from([None, 0, 1, 2, 3, 4, 5]),
    same_uid=st.booleans(),
)
def test_any_inserted_row_is_found(
    chained: None,
    copied: int,
    block: int | None,
    same_uid: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A copy of a row with its seal is not genuine elsewhere, nor is one with an actor changed."""
    one = AuditRow.objects.order_by("id")[copied]
    one.pk = None
    one.block = block
    one.uid = one.uid[:-1] + ("0" if one.uid[-1] != "0" else "1")
    if not same_uid:
        one.actor = "somebody"
    head_before[:] = [head()]
    assert undone(lambda: one.save(force_insert=True))


@MANY
@given(
    number=st.integers(1, 4),
    column=st.sampled_from(
        ["previous", "digest", "content", "rows", "forged", "newest_us", "chained_us"]
    ),
)
def test_any_altered_block_is_found(chained: None, number: int, column: str) -> None:
    """Each column that says something about the events."""
    one = AuditBlock.objects.get(pk=number)
    value: Any = getattr(one, column)
    head_before[:] = [head()]
    other = "f" * 64 if isinstance(value, str) else value + 1
    assert undone(lambda: AuditBlock.objects.filter(pk=number).update(**{column: other}))


@MANY
@given(first=st.integers(1, 4), last=st.integers(1, 4), with_rows=st.booleans())
def test_any_removed_blocks_are_found(
    chained: None,
    first: int,
    last: int,
    with_rows: bool,  # noqa: FBT001 - a parameter
) -> None:
    """At the begin, in the middle and at the end, with their rows or without."""
    head_before[:] = [head()]

    def remove() -> None:
        if with_rows:
            AuditRow.objects.filter(block__range=(first, last)).delete()
        AuditBlock.objects.filter(number__range=(first, last)).delete()

    if first <= last:
        assert undone(remove)


@pytest.mark.parametrize("column", ["number", "digest"])
def test_an_altered_state_is_found(chained: None, column: str) -> None:
    """So is one that was removed."""
    head_before[:] = [head()]
    for change in (-1, 1):
        value: Any = 4 + change if column == "number" else "0" * 64
        assert undone(lambda value=value: AuditChain.objects.update(**{column: value}))
    assert undone(lambda: AuditChain.objects.all().delete())


def rebuilt(key: str) -> None:
    """Chain all rows anew, as somebody does who can write the database and knows how it is done."""
    with override_settings(SECRET_KEY=key):
        state = AuditChain.objects.get()
        previous, number = sealing.GENESIS, 0
        for block in AuditBlock.objects.order_by("number"):
            rows = list(AuditRow.objects.filter(block=block.number).order_by("id"))
            for row in rows:
                sealing.seal(row)
                row.save()
            content = sealing.Content(rows)
            block.previous, block.content, block.rows = previous, content.digest(), content.rows
            block.digest = sealing.block_digest(block)
            block.save()
            previous, number = block.digest, block.number
        state.number, state.digest = number, previous
        state.save()


def test_a_chain_that_was_rebuilt_is_found_by_its_seals(chained: None) -> None:
    """Without the key every row looks forged, even with no published head."""
    AuditRow.objects.filter(block=2).update(actor="somebody")
    genuine = {row.pk: (row.key_id, row.seal) for row in AuditRow.objects.all()}
    rebuilt("guessed")
    for key, (key_id, seal) in genuine.items():  # The best that one can do: put the seals back.
        AuditRow.objects.filter(pk=key).update(key_id=key_id, seal=seal)
    assert any("is not as the application wrote it" in one for one in problems())


def test_a_chain_that_was_rebuilt_with_the_key_is_found_by_a_published_head(chained: None) -> None:
    """Who has the key too cannot take back what was published."""
    published = head()
    AuditRow.objects.filter(block=2).update(actor="somebody")
    rebuilt("audit-tests")
    assert problems() == RIGHT
    assert problems(published) == ["block 4 is not the one whose head was published"]


def test_the_last_block_with_all_traces_is_found_by_a_published_head(chained: None) -> None:
    """Rows, block and state taken back: only the outside remembers."""
    published = head()
    AuditRow.objects.filter(block=4).delete()
    AuditBlock.objects.filter(number=4).delete()
    AuditChain.objects.update(number=3, digest=AuditBlock.objects.get(number=3).digest)
    assert problems() == RIGHT
    assert problems(published) == ["the head of block 4 was published, and the last one is 3"]


def test_a_row_that_was_forged_before_it_was_chained(caplog: pytest.LogCaptureFixture) -> None:
    """The drainer says so, and the chain remembers it when the key is not known any more."""
    write(1, 2)
    AuditRow.objects.filter(resource_id="2").update(actor="somebody")
    drainer().drain("default")
    (said,) = [one for one in caplog.records if one.message == "audit_row_forged"]
    key = AuditRow.objects.get(resource_id="2").pk
    assert (said.levelname, vars(said)["audit.row.id"]) == ("ERROR", key)
    assert problems() == [f"row {key} of block 1 is not as the application wrote it"]
    with override_settings(SECRET_KEY="another"):
        assert problems() == ["block 1 has 1 rows that were forged before that"]


def test_the_secret_key_may_change() -> None:
    """Fallbacks are known keys; without them the chain alone vouches, and is enough."""
    blocks(2)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["audit-tests"]):
        assert problems() == RIGHT
    with override_settings(SECRET_KEY="new"):
        verification = Verification("default")
        assert list(verification.problems()) == RIGHT
        assert verification.sealed_elsewhere == 2
        AuditRow.objects.filter(resource_id="0").update(actor="somebody")
        assert problems() == ["the rows of block 1 are not those that were chained"]


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


def test_heads_that_were_published_twice(chained: None) -> None:
    """A drainer that gets no answer publishes again: that is right; another digest is not."""
    told = [heads.Head(one.number, one.digest) for one in AuditBlock.objects.order_by("number")]
    assert problems(*told[:3], *told[1:]) == RIGHT
    wrong = heads.Head(2, "0" * 64)
    said = ["block 2 is not the one whose head was published"]
    assert problems(*told[:3], wrong, *told[2:]) == said
    assert problems(told[0], wrong, told[3]) == said


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
