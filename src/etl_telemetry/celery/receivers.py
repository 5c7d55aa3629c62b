"""One way to follow Celery's signals: a table of signals and receivers, under one name."""

from __future__ import annotations

from collections.abc import Callable

from celery.utils.dispatch import Signal

Table = tuple[tuple[Signal, Callable[..., None]], ...]
"""Pairs; Celery calls the receivers of a signal in the order in which they were connected."""


def follow(uid: str, table: Table) -> None:
    """Connect the receivers of a table; one that is there under that name already stays."""
    for signal, receiver in table:
        signal.connect(receiver, weak=False, dispatch_uid=uid)
