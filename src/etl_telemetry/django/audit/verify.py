"""Find every altered, inserted or removed row, from the first block to the last.

Reads rows and blocks once, in order, a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain as joined
from itertools import groupby

from django.db.models import Max

from etl_telemetry.django.audit.chain import STATE
from etl_telemetry.django.audit.heads import Head
from etl_telemetry.django.audit.models import AuditBlock, AuditChain, AuditRow
from etl_telemetry.django.audit.pruning import Anchor, anchors
from etl_telemetry.django.audit.sealing import GENESIS, Content, block_digest, is_genuine

_CHUNK = 500


class Verification:
    """One pass over the audit table of a database.

    `rows` and `blocks` count what was looked at; `sealed_elsewhere` the rows whose key is not
    known any more: the chain vouches for them, their seal cannot.
    """

    def __init__(self, using: str, heads: Iterable[Head] = ()) -> None:
        self._using = using
        self._heads = iter(heads)
        self._next_head: Head | None = next(self._heads, None)
        self.rows = 0
        self.blocks = 0
        self.sealed_elsewhere = 0

    def problems(self) -> Iterator[str]:
        """Yield a sentence for each thing that is wrong, as it is found."""
        # What is chained while this runs is left for the next time.
        stands = self._stands()
        blocks = AuditBlock.objects.using(self._using).filter(number__lte=stands.number)
        first = blocks.order_by("number").first()
        last = stands if first is None else Head(first.number - 1, first.previous)
        yield from self._begin(last)
        groups = _Groups(self._using, stands.number)
        for block in blocks.order_by("number").iterator(_CHUNK):
            self.blocks += 1
            yield from self._strangers(groups.before(block.number))
            yield from self._link(block, last)
            yield from self._rows(block, groups.of(block.number))
            yield from self._published(block.number, block.digest)
            last = Head(block.number, block.digest)
        yield from self._strangers(groups.rest())
        yield from self._end(last, stands)
        yield from self._beyond()
        yield from self._pending()

    def _stands(self) -> Head:
        state = AuditChain.objects.using(self._using).filter(pk=STATE).first()
        return Head(0, GENESIS) if state is None else Head(state.number, state.digest)

    def _begin(self, before: Head) -> Iterator[str]:
        """Who deleted what comes before the first block: the retention command, or somebody."""
        if before.number == 0:
            if before.digest != GENESIS:
                yield "block 1 does not begin the chain: it was altered"
        elif Anchor(before.number, before.digest) not in set(anchors(self._using)):
            yield (
                f"the blocks up to {before.number} are missing, and no audit event of the "
                "retention command says that it deleted them"
            )

    def _link(self, block: AuditBlock, last: Head) -> Iterator[str]:
        if block.number != last.number + 1:
            yield f"blocks {last.number + 1} to {block.number - 1} were removed"
        elif block.previous != last.digest:
            yield f"block {block.number} does not follow block {last.number}: one was altered"
        if block_digest(block) != block.digest:
            yield f"block {block.number} was altered"

    def _rows(self, block: AuditBlock, rows: Iterable[AuditRow]) -> Iterator[str]:
        content = Content()
        broken = []
        for row in rows:
            content.add(row)
            self.rows += 1
            genuine = is_genuine(row)
            if genuine is None:
                self.sealed_elsewhere += 1
            elif not genuine:
                broken.append(row.pk)
        for key in broken:
            yield f"row {key} of block {block.number} is not as the application wrote it"
        if content.rows != block.rows:
            yield f"block {block.number} has {content.rows} rows, and had {block.rows}"
        elif content.digest() != block.content:
            yield f"the rows of block {block.number} are not those that were chained"
        if block.forged > len(broken):
            yield f"block {block.number} has {block.forged} rows that were forged before that"

    def _strangers(self, numbers: Iterable[int]) -> Iterator[str]:
        for number in numbers:
            yield f"there are rows of block {number}, and no such block"

    def _published(self, number: int, digest: str) -> Iterator[str]:
        """Compare with the heads that were published for this block; lines may be repeated."""
        while self._next_head is not None and self._next_head.number <= number:
            head = self._next_head
            self._next_head = next(self._heads, None)
            if head.number == number and head.digest != digest:
                yield f"block {number} is not the one whose head was published"
            elif head.number < number:
                found = AuditBlock.objects.using(self._using).filter(pk=head.number).first()
                if found is not None and found.digest != head.digest:
                    yield f"block {head.number} is not the one whose head was published"

    def _end(self, last: Head, stands: Head) -> Iterator[str]:
        missing = [head.number for head in joined((self._next_head,), self._heads) if head]
        if missing and self._stands().number < max(missing):
            yield (
                f"the head of block {max(missing)} was published, and the last one is {last.number}"
            )
        if stands != last:
            yield (
                f"the chain stands at block {stands.number}, and the last one is {last.number}: "
                "blocks were removed from its end, or one of both was altered"
            )

    def _beyond(self) -> Iterator[str]:
        """Find blocks, and rows of blocks, that the chain has not reached: nobody chained them."""
        last = AuditBlock.objects.using(self._using).aggregate(Max("number"))["number__max"] or 0
        rows = AuditRow.objects.using(self._using).aggregate(Max("block"))["block__max"] or 0
        stands = self._stands()  # Read last: it only moves up.
        if max(last, rows) > stands.number:
            yield f"there are rows or blocks after block {stands.number}, where the chain stands"

    def _pending(self) -> Iterator[str]:
        """Look at what the drainer has not chained yet: its seals are all there is."""
        for row in AuditRow.objects.using(self._using).filter(block=None).iterator(_CHUNK):
            self.rows += 1
            if not is_genuine(row):
                yield f"row {row.pk}, which is not chained yet, is not as the application wrote it"


class _Groups:
    """The rows of each block, in one pass."""

    def __init__(self, using: str, last: int) -> None:
        rows = AuditRow.objects.using(using).filter(block__lte=last).order_by("block", "id")
        self._groups = groupby(rows.iterator(_CHUNK), key=lambda row: int(row.block or 0))
        self._next = next(self._groups, None)

    def before(self, number: int) -> Iterator[int]:
        """Skip the groups before a block; yield their numbers."""
        while self._next is not None and self._next[0] < number:
            yield self._next[0]
            self._next = next(self._groups, None)

    def of(self, number: int) -> Iterator[AuditRow]:
        """Yield the rows of a block."""
        if self._next is not None and self._next[0] == number:
            yield from self._next[1]
            self._next = next(self._groups, None)

    def rest(self) -> Iterator[int]:
        """Yield the numbers of the groups that are left."""
        while self._next is not None:
            yield self._next[0]
            self._next = next(self._groups, None)
