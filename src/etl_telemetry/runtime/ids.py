"""Span ids that two processes can name without telling one another."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

_NEXT: ContextVar[int | None] = ContextVar("etl_telemetry-next-span-id", default=None)


class NamedIds(RandomIdGenerator):
    """Random ids, but for a span that is started inside of `next_span_id`.

    From a source of their own: the host may seed `random`, the same in each task. Each process
    makes one when its signals are built, so a fork does not go on with its parent's.
    """

    def __init__(self) -> None:
        self._bits = random.Random().getrandbits  # noqa: S311 - ids need not be secret

    def generate_span_id(self) -> int:
        """Return the id that was asked for, else a random one."""
        named = _NEXT.get()
        return (self._bits(64) or 1) if named is None else named

    def generate_trace_id(self) -> int:
        """Return a random id."""
        return self._bits(128) or 1


@contextmanager
def next_span_id(span_id: int | None) -> Iterator[None]:
    """Give the span that is started in the block this id; None: a random one."""
    token = _NEXT.set(span_id)
    try:
        yield
    finally:
        _NEXT.reset(token)


def named(*parts: object) -> int:
    """Return a span id that derives from names: the same in every process.

    >>> named("chord", "g1", 0) == named("chord", "g1", 0) != named("chord", "g1", 1)
    True
    """
    text = "/".join(["etl-telemetry/span", *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]) or 1


def are_kept() -> bool:
    """Return whether the tracer provider of this process is ours, and so takes such ids."""
    return hasattr(trace.get_tracer_provider(), "emit_finished_span")
