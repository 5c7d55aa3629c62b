"""Swap backends behind a running application, there and back, and compare what old and new have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from support.stack.emitter import Emitter
from support.stack.patience import eventually
from support.stack.product import PRODUCT
from support.stack.stack import Stack

ROUNDS = 60
"""Rounds in each period."""
Numbers = Callable[[], set[int]]
"""Asks a backend which rounds it has."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A signal, and the overlays that give it another backend."""

    overlays: Sequence[str]
    """Names of files in `collector/overlays`, which are in `overlays/both` as well."""
    old: Numbers
    """The rounds that the old backend has."""
    new: Numbers
    """The rounds that the new backend has."""


def configure(stack: Stack, *overlays: str) -> None:
    """Restart the Collector with these overlays: same ports, same queues."""
    files = ["single-node.yaml", *(f"overlays/{name}.yaml" for name in overlays)]
    stack.collector.configs = [PRODUCT / file for file in files]
    stack.collector.restart()


def there_and_back(
    stack: Stack,
    emitter: Emitter,
    swap: Swap,
    *,
    compare: Callable[[], None],
    alone: Callable[[int], None],
) -> None:
    """Old, both, new, both, old.

    `compare` is called while both get everything, `alone` while only the new one does, with a round
    of that time.
    """
    both = (*swap.overlays, *(f"both/{name}" for name in swap.overlays))
    _period(emitter, swap.old)
    configure(stack, *both)
    _period(emitter, swap.old, swap.new)
    compare()
    configure(stack, *swap.overlays)
    rounds = _period(emitter, swap.new)
    assert swap.old().isdisjoint(rounds)
    alone(max(rounds))
    configure(stack, *both)
    _period(emitter, swap.old, swap.new)
    compare()
    configure(stack)
    rounds = _period(emitter, swap.old)
    assert swap.new().isdisjoint(rounds)


def _period(emitter: Emitter, *backends: Numbers) -> set[int]:
    """Return the rounds of a period, when these backends have all of them."""
    begin = emitter.rounds
    emitter.go_on(ROUNDS)
    # The round that was going on at the restart may belong to either period.
    rounds = set(range(begin + 1, begin + ROUNDS))
    for backend in backends:
        eventually("all rounds arrive", lambda backend=backend: rounds <= backend(), every=1)
    return rounds
