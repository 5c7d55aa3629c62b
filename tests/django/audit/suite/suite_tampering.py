"""What was altered, inserted, removed or forged is found; what was not, is not."""

from __future__ import annotations

from typing import Any

import pytest
from audit_chains import RIGHT, blocks, chained, drainer, head, problems, write
from django.db import transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_telemetry.django.audit import heads, sealing
from etl_telemetry.django.audit.verify import Verification
from etl_telemetry.django.models import AuditBlock, AuditChain, AuditRow

__all__ = ["chained"]

MANY = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXTS = (
    "uid", "name", "actor", "organization", "resource_type", "resource_id", "details", "trace_id",
    "span_id", "run_id", "key_id", "seal", "outcome",
)  # fmt: skip


def test_an_untouched_chain_is_right() -> None:
    """Blocks of any size, rows that wait, and nothing at all."""
    assert problems() == RIGHT
    blocks(1, 3, 2)
    assert problems(head()) == RIGHT
    write(7)
    assert problems(head()) == RIGHT


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


def test_heads_that_were_published_twice(chained: None) -> None:
    """A drainer that gets no answer publishes again: that is right; another digest is not."""
    told = [heads.Head(one.number, one.digest) for one in AuditBlock.objects.order_by("number")]
    assert problems(*told[:3], *told[1:]) == RIGHT
    wrong = heads.Head(2, "0" * 64)
    said = ["block 2 is not the one whose head was published"]
    assert problems(*told[:3], wrong, *told[2:]) == said
    assert problems(told[0], wrong, told[3]) == said
