"""Any tree of calls of any kind: every parent is right, and nothing stays current."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace

from etl_telemetry.tracing import span, traced
from support.telemetry import telemetry

SYNC = ("function", "block", "generator", "left generator", "failing")
ASYNC = ("coroutine", "async generator", "left async generator", "gathered", "failing coroutine")


class Failure(Exception):  # noqa: N818 - a stand-in
    """What a failing node raises, and its parent catches."""


@dataclass
class Node:
    """One call."""

    kind: str
    inner: list[Node]
    """Called by its body."""
    between: list[Node] = field(default_factory=list)
    """Called by its consumer between two steps, where it is a generator."""


@dataclass
class Play:
    """Call the nodes; note which span should be whose parent."""

    numbers: Iterator[int] = field(default_factory=count)
    parents: dict[str, str | None] = field(default_factory=dict)

    def name(self, node: Node, parent: str | None) -> str:
        """Return a unique name, and note the parent that its span must have."""
        name = f"{node.kind} {next(self.numbers)}"
        self.parents[name] = parent
        return name

    def all(self, nodes: list[Node], parent: str | None) -> None:
        """Call nodes from sync code; async ones in a thread, in a copy of this context."""
        for node in nodes:
            assert current() == parent
            if node.kind in SYNC:
                self.sync(node, parent)
            else:
                copy = contextvars.copy_context()
                thread = threading.Thread(
                    target=copy.run, args=(asyncio.run, self.asynchronous(node, parent))
                )
                thread.start()
                thread.join()
            assert current() == parent

    async def all_async(self, nodes: list[Node], parent: str | None) -> None:
        """Call nodes from async code."""
        for node in nodes:
            assert current() == parent
            if node.kind in SYNC:
                self.sync(node, parent)
            else:
                await self.asynchronous(node, parent)
            assert current() == parent

    def sync(self, node: Node, parent: str | None) -> None:
        """Call one node."""
        name = self.name(node, parent)

        @traced(name=name)
        def function() -> None:
            self.all(node.inner, name)
            if node.kind == "failing":
                raise Failure

        @traced(name=name)
        def generator() -> Iterator[None]:
            self.all(node.inner, name)
            yield
            with span(f"{name} block"):
                self.parents[f"{name} block"] = name
                yield
                self.all(node.inner, f"{name} block")
            yield

        if node.kind == "block":
            with span(name):
                self.all(node.inner, name)
        elif node.kind == "function":
            function()
        elif node.kind == "failing":
            try:
                function()
            except Failure:
                assert current() == parent
        else:
            items = generator()
            for index, _ in enumerate(items):
                self.all(node.between, parent)
                if index and node.kind == "left generator":
                    break
            del items

    async def asynchronous(self, node: Node, parent: str | None) -> None:
        """Call one node."""
        name = self.name(node, parent)

        @traced(name=name)
        async def coroutine() -> None:
            await asyncio.sleep(0)
            if node.kind == "gathered":
                calls = [self.all_async([one], name) for one in node.inner]
                await asyncio.gather(*calls)
            else:
                await self.all_async(node.inner, name)
            if node.kind == "failing coroutine":
                raise Failure

        @traced(name=name)
        async def generator() -> AsyncIterator[None]:
            await self.all_async(node.inner, name)
            yield
            with span(f"{name} block"):
                self.parents[f"{name} block"] = name
                await asyncio.sleep(0)
                yield
                await self.all_async(node.inner, f"{name} block")
            yield

        if "generator" not in node.kind:
            await self.caught(coroutine(), parent)
            return
        items: Any = generator()
        index = 0
        async for _ in items:
            await self.all_async(node.between, parent)
            index += 1
            if index > 1 and node.kind == "left async generator":
                break
        await items.aclose()

    async def caught(self, call: Coroutine[Any, Any, None], parent: str | None) -> None:
        """Await a call that may fail."""
        try:
            await call
        except Failure:
            assert current() == parent


def current() -> str | None:
    """Return the name of the span that is current here."""
    return getattr(trace.get_current_span(), "name", None)


_leaves = st.builds(Node, st.sampled_from(SYNC + ASYNC), st.just([]), st.just([]))
_trees = st.recursive(
    _leaves,
    lambda nodes: st.builds(
        Node,
        st.sampled_from(SYNC + ASYNC),
        st.lists(nodes, max_size=2),
        st.lists(nodes, max_size=1),
    ),
    max_leaves=8,
)


@given(st.lists(_trees, min_size=1, max_size=2))
@settings(deadline=None)
def test_parents_are_right_in_any_tree(trees: list[Node]) -> None:
    """Sync and async calls, generators, tasks and threads, failing or left half-way."""
    seen = telemetry()
    before = context.get_current()
    play = Play()
    play.all(trees, None)
    names = {found.context.span_id: found.name for found in seen.spans()}
    assert play.parents == {
        found.name: found.parent and names[found.parent.span_id] for found in seen.spans()
    }
    assert len(seen.spans()) == len(play.parents)
    assert context.get_current() is before
