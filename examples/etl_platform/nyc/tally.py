"""Count what one step did with the rows that it read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """The accounting of one step: every row that is read ends in exactly one place.

    >>> tally = Tally(read=3, processed=1)
    >>> tally.skip("cancelled")
    >>> tally.reject("no_arrival")
    >>> tally.is_balanced()
    True
    """

    read: int = 0
    """Rows that came in."""

    processed: int = 0
    """Rows that the step put out."""

    rejected: int = 0
    """Rows that are faulty: somebody should look at the source."""

    skipped: int = 0
    """Rows that are fine, but not for this step."""

    reasons: Counter[str] = field(default_factory=Counter)
    """Rejected and skipped rows by reason."""

    def reject(self, reason: str, rows: int = 1) -> None:
        """Count `rows` as faulty for `reason`."""
        self.rejected += rows
        self.reasons[reason] += rows

    def skip(self, reason: str, rows: int = 1) -> None:
        """Count `rows` as left out for `reason`."""
        self.skipped += rows
        self.reasons[reason] += rows

    def is_balanced(self) -> bool:
        """Say whether every row that was read is accounted for."""
        return self.read == self.processed + self.rejected + self.skipped

    def add(self, other: Tally) -> None:
        """Add the counts of `other`, for instance of another partition."""
        self.read += other.read
        self.processed += other.processed
        self.rejected += other.rejected
        self.skipped += other.skipped
        self.reasons.update(other.reasons)

    def counts(self) -> dict[str, int]:
        """Return the four numbers, named as `step().add_rows()` wants them."""
        return {
            "read": self.read,
            "processed": self.processed,
            "rejected": self.rejected,
            "skipped": self.skipped,
        }

    def as_json(self) -> dict[str, object]:
        """Return what a `TaskRun` keeps of a step in its `metrics`."""
        return {**self.counts(), "reasons": dict(sorted(self.reasons.items()))}
