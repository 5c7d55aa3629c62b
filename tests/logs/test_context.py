"""`log_context`: nesting, every kind of function, threads and tasks, and blocks that end badly."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.logs import current_fields, log_context


def seen() -> dict[str, object]:
    """Return the fields that a record would carry here."""
    return dict(current_fields())


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    assert seen() == {}
    yield
    assert seen() == {}


def test_inner_blocks_add_and_win_and_give_back() -> None:
    """A block adds its fields, wins over outer ones, and leaves what was there before."""
    with log_context(a=1, b=1):
        with log_context(b=2, c=2):
            assert seen() == {"a": 1, "b": 2, "c": 2}
        assert seen() == {"a": 1, "b": 1}


def test_the_fields_cannot_be_changed_through_the_view() -> None:
    """What `current_fields` returns is read-only, so no code changes another block's fields."""
    with log_context(a=1), pytest.raises(TypeError):
        current_fields()["a"] = 2  # type: ignore[index]


def test_any_field_name_is_allowed() -> None:
    """Names of the method's own parameters and of log records are names like any other."""
    with log_context(self=1, name="x", message="y"):
        assert seen() == {"self": 1, "name": "x", "message": "y"}


def test_an_exception_ends_the_block_and_passes() -> None:
    """The fields go with the block, and the error is the application's."""
    with pytest.raises(ValueError, match="theirs"), log_context(a=1):
        raise ValueError("theirs")


def test_blocks_may_end_out_of_order() -> None:
    """A block that ends before one inside of it takes its own fields only."""
    outer, inner = log_context(a=1), log_context(b=2)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert seen() == {"b": 2}
    inner.__exit__(None, None, None)


def test_a_block_may_end_in_another_context() -> None:
    """Ending where the block never began changes nothing there and does not raise."""
    block = log_context(a=1)
    copied = copy_context()
    copied.run(block.__enter__)
    with log_context(b=2):
        block.__exit__(None, None, None)
        assert seen() == {"b": 2}


def test_one_object_may_be_entered_again_inside_itself() -> None:
    """A shared object nests in itself: each exit takes one entry."""
    block = log_context(a=1)
    with block:
        with block:
            assert seen() == {"a": 1}
        assert seen() == {"a": 1}


def test_a_decorated_function_keeps_its_metadata_and_result() -> None:
    """The decorator adds fields, and nothing else changes."""

    @log_context(a=1)
    def load(rows: int, *, source: str = "x") -> tuple[int, str, dict[str, object]]:
        """Load."""
        return rows, source, seen()

    assert load(3, source="y") == (3, "y", {"a": 1})
    assert (load.__name__, load.__doc__) == ("load", "Load.")
    assert str(inspect.signature(load)) == (
        "(rows: 'int', *, source: 'str' = 'x') -> 'tuple[int, str, dict[str, object]]'"
    )


def test_methods_of_every_kind_can_be_decorated() -> None:
    """Methods, class methods and static methods, in either order of the decorators."""

    class Loader:
        @log_context(kind="method")
        def method(self) -> dict[str, object]:
            return seen()

        @classmethod
        @log_context(kind="class")
        def inside(cls) -> tuple[str, dict[str, object]]:
            return cls.__name__, seen()

        @log_context(kind="class")
        @classmethod
        def outside(cls) -> tuple[str, dict[str, object]]:
            return cls.__name__, seen()

        @log_context(kind="static")
        @staticmethod
        def static() -> dict[str, object]:
            return seen()

    assert Loader().method() == {"kind": "method"}
    assert Loader.inside() == Loader().outside() == ("Loader", {"kind": "class"})
    assert Loader.static() == {"kind": "static"}


@pytest.mark.parametrize("thing", [int, 3], ids=["class", "number"])
def test_only_functions_can_be_decorated(thing: object) -> None:
    """A class would lose being a class: it is refused where it is written, with the way out."""
    with pytest.raises(TypeError) as caught:
        log_context(a=1)(thing)  # type: ignore[call-overload]
    assert str(caught.value) == (
        f"log_context decorates functions and methods, got {thing!r}; "
        "decorate its methods, or use `with log_context(...)`"
    )


def test_a_generator_carries_the_fields_only_while_its_body_runs() -> None:
    """Between two items the consumer sees its own fields, and send and return pass through."""

    @log_context(inner=1)
    def rows(count: int) -> Iterator[object]:
        got = yield seen()
        assert seen() == {"inner": 1, "outer": 2}
        yield got
        return count  # type: ignore[return-value]

    assert inspect.isgeneratorfunction(rows)
    generator = rows(3)
    with log_context(outer=1):
        assert next(generator) == {"inner": 1, "outer": 1}
        assert seen() == {"outer": 1}
    with log_context(outer=2):
        assert generator.send("hello") == "hello"  # type: ignore[attr-defined]
        with pytest.raises(StopIteration) as end:
            next(generator)
        assert end.value.value == 3


@pytest.mark.parametrize("ending", ["close", "collect", "break"])
def test_a_generator_that_is_given_up_cleans_up_inside_its_fields(ending: str) -> None:
    """Closed, dropped or left by `break`: the body's `finally` runs, with its fields."""
    at_end: list[dict[str, object]] = []

    @log_context(a=1)
    def rows() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            at_end.append(seen())

    generator = rows()
    if ending == "break":
        for _ in generator:
            break
    else:
        next(generator)
    if ending == "close":
        generator.close()  # type: ignore[attr-defined]
    del generator
    gc.collect()
    assert at_end == [{"a": 1}]


def test_a_generator_takes_what_is_thrown_into_it() -> None:
    """`throw` reaches the body, which may go on."""

    @log_context(a=1)
    def rows() -> Iterator[object]:
        try:
            yield 1
        except KeyError as error:
            yield (error.args, seen())

    generator = rows()
    next(generator)
    assert generator.throw(KeyError("k")) == (("k",), {"a": 1})  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(generator)


def test_a_coroutine_function_stays_one_and_carries_its_fields_over_awaits() -> None:
    """Two decorated coroutines that run side by side do not see each other's fields."""

    async def both() -> list[dict[str, object]]:
        barrier = asyncio.Barrier(2)

        def load(name: str) -> Callable[[], object]:
            @log_context(name=name)
            async def body() -> dict[str, object]:
                await barrier.wait()
                await asyncio.sleep(0)
                return seen()

            assert inspect.iscoroutinefunction(body)
            return body

        return await asyncio.gather(load("a")(), load("b")())  # type: ignore[call-overload, no-any-return]

    assert asyncio.run(both()) == [{"name": "a"}, {"name": "b"}]


def test_a_cancelled_coroutine_gives_back_its_fields() -> None:
    """Cancellation reaches the body, with its fields, and leaves none."""
    at_end: list[dict[str, object]] = []

    @log_context(a=1)
    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            at_end.append(seen())

    async def main() -> dict[str, object]:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen()

    assert asyncio.run(main()) == {}
    assert at_end == [{"a": 1}]


def test_an_async_generator_carries_the_fields_only_while_its_body_runs() -> None:
    """As a generator: send, throw, close, and the consumer's own fields in between."""
    at_end: list[dict[str, object]] = []

    @log_context(inner=1)
    async def rows() -> AsyncIterator[object]:
        try:
            got = yield seen()
            await asyncio.sleep(0)
            try:
                yield got
            except KeyError as error:
                yield (error.args, seen())
            yield "last"
        finally:
            at_end.append(seen())

    async def main() -> None:
        assert inspect.isasyncgenfunction(rows)
        generator = rows()
        assert await anext(generator) == {"inner": 1}
        assert seen() == {}
        with log_context(outer=1):
            assert await generator.asend("hello") == "hello"  # type: ignore[attr-defined]
            thrown = await generator.athrow(KeyError("k"))  # type: ignore[attr-defined]
            assert thrown == (("k",), {"inner": 1, "outer": 1})
            assert seen() == {"outer": 1}
            await generator.aclose()  # type: ignore[attr-defined]
        assert [item async for item in rows()] == [{"inner": 1}, None, "last"]

    asyncio.run(main())
    assert at_end == [{"outer": 1, "inner": 1}, {"inner": 1}]


def test_threads_do_not_see_one_another() -> None:
    """Each thread begins without fields, even while another one, or a shared object, has some."""
    shared, barrier = log_context(shared=1), threading.Barrier(4)

    def work(number: int) -> tuple[dict[str, object], dict[str, object]]:
        before = seen()
        with log_context(number=number), shared:
            barrier.wait(30)
            inside = seen()
            barrier.wait(30)
        assert seen() == {}
        return before, inside

    with log_context(main=True), ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert results == [({}, {"number": n, "shared": 1}) for n in range(4)]


TREES = st.recursive(
    st.just([]),
    lambda inner: st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), inner), max_size=3
    ),
    max_leaves=8,
)


async def _walk(tree: list, expected: dict[str, object]) -> None:  # type: ignore[type-arg]
    """Enter each node's fields in a task of its own; check them before, during and after."""

    async def node(fields: dict[str, int], below: list) -> None:  # type: ignore[type-arg]
        with log_context(**fields):
            merged = {**expected, **fields}
            await asyncio.sleep(0)
            assert seen() == merged
            await _walk(below, merged)
            assert seen() == merged
        assert seen() == expected

    await asyncio.gather(*(node(fields, below) for fields, below in tree))
    assert seen() == expected


@given(TREES)
def test_any_nesting_over_tasks_sees_its_own_path_only(tree: list) -> None:  # type: ignore[type-arg]
    """In a tree of tasks, each sees the fields on the way to it, at every moment."""
    asyncio.run(_walk(tree, {}))


@given(TREES)
def test_any_nesting_over_threads_sees_its_own_path_only(tree: list) -> None:  # type: ignore[type-arg]
    """The same in threads: each begins empty, and nests its own blocks."""

    def walk(below: list, expected: dict[str, object]) -> None:  # type: ignore[type-arg]
        for fields, further in below:
            with log_context(**fields):
                merged = {**expected, **fields}
                assert seen() == merged
                walk(further, merged)
            assert seen() == expected

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(walk, tree, {}) for _ in range(2)]:
            future.result(30)
