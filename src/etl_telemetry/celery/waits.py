"""Where the time between the publish of a task and its begin went.

| phase      | from                     | to                       |
| ---------- | ------------------------ | ------------------------ |
| `eta`      | publish                  | ETA or countdown is over |
| `retry`    | publish of a retry       | its countdown is over    |
| `broker`   | then                     | a worker has received it |
| `prefetch` | then                     | a process of it begins   |

The phases follow one another and add up to the whole. What the application asked for
comes first: a message that lies in the broker while its ETA is ahead waits for its ETA.
So `broker` and `prefetch` together are how late the task began.

The clock of the publisher may be ahead of the worker's. Then the publish counts as at
the moment of the receipt, and the span says by how much (`task.queue.clock_skew`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from etl_telemetry import guard, metrics
from etl_telemetry.catalogue import TASK_CLOCK_SKEW, TASK_WAIT_PREFIX, DropReason, QueuePhase

RECEIVED = "etl_telemetry_received"
"""Key in Celery's request: when the worker received the message, and its kind of pool."""

_POOLS = {"thread": "threads"}
"""Module of a pool -> what `--pool` calls it, where that differs."""


@dataclass(frozen=True, slots=True)
class Times:
    """The moments in the life of a message, in Unix nanoseconds; None: not known."""

    published: int | None
    """By the publisher's clock."""
    due: int | None
    """ETA; None: at once."""
    received: int | None
    """By the worker's main process."""
    started: int
    """Begin of the delivery."""


@dataclass(frozen=True, slots=True)
class Waits:
    """The phases of one delivery."""

    seconds: dict[str, float]
    """Phase -> seconds; a phase that is not known, or was not asked for, is missing."""
    skew: float | None
    """Seconds by which the publisher's clock was seen to be ahead; None: it was not."""

    def attributes(self) -> dict[str, object]:
        """Return the attributes of the span."""
        told: dict[str, object] = {TASK_WAIT_PREFIX + name: s for name, s in self.seconds.items()}
        return told if self.skew is None else {**told, TASK_CLOCK_SKEW: self.skew}

    def record(self, queue: str) -> None:
        """Count them."""
        for phase, seconds in self.seconds.items():
            metrics.record_queue_wait(queue, phase, seconds)


def split(times: Times, *, retry: bool) -> Waits:
    """Return the phases between publish and start.

    >>> split(Times(published=0, due=2 * 10**9, received=10**9, started=3 * 10**9), retry=False)
    Waits(seconds={'eta': 2.0, 'broker': 0.0, 'prefetch': 1.0}, skew=None)
    """
    first_seen = times.started if times.received is None else min(times.received, times.started)
    spent: dict[str, int] = {}
    skew = None
    if times.published is not None:
        published = min(times.published, first_seen)
        if published < times.published:
            skew = (times.published - published) / 1e9
        ready = _between(published, times.due, times.started)
        if times.due is not None:
            spent[QueuePhase.RETRY if retry else QueuePhase.ETA] = ready - published
        spent[QueuePhase.BROKER] = max(first_seen, ready) - ready
    if times.received is not None:
        held = max(first_seen, _between(first_seen, times.due, times.started))
        spent[QueuePhase.PREFETCH] = times.started - held
    return Waits({phase.value: ns / 1e9 for phase, ns in spent.items()}, skew)  # type: ignore[attr-defined]


def mark(request: Any, pool: object) -> None:
    """Write into a request of the worker's main process that it was received now.

    Its dictionary travels to the process that runs the task, in each kind of pool.
    """
    module = type(pool).__module__.rpartition(".")[2]  # celery.concurrency.prefork
    request.request_dict[RECEIVED] = f"{time.time_ns()} {_POOLS.get(module, module)}"


def received(request: object) -> tuple[int | None, str | None]:
    """Return what `mark` wrote: the moment, and the kind of pool."""
    at, _, kind = str(getattr(request, RECEIVED, "")).partition(" ")
    return (int(at), kind) if at.isascii() and at.isdigit() else (None, None)


def moment(eta: object, zone: tzinfo) -> int | None:
    """Return the ETA of a message in Unix nanoseconds; without a zone it is in the app's."""
    found: list[int] = []
    if isinstance(eta, str):
        with guard.absorb("reading an ETA", reason=DropReason.INVALID_VALUE):
            at = datetime.fromisoformat(eta)
            at = at if at.tzinfo is not None else at.replace(tzinfo=zone)
            found.append(int(at.timestamp() * 1e6) * 1_000)
    return found[0] if found else None


def _between(low: int, value: int | None, high: int) -> int:
    return low if value is None else max(low, min(value, high))
