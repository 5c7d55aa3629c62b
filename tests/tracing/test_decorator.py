"""`@traced` on every kind of callable: what it is stays, and each call is a span."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from etl_telemetry import guard
from etl_telemetry.tracing import span, traced
from support.hostile import HOSTILE
from support.telemetry import Telemetry

HERE = __name__


@traced
def function(a: int, b: int = 2, *rest: int, c: int = 3, **more: int) -> tuple[Any, ...]:
    """Return what it was given."""
    return a, b, rest, c, more


@traced
async def coroutine(a: int) -> int:
    """Give way once."""
    await asyncio.sleep(0)
    return a


@traced
def generator(n: int) -> Iterator[int]:
    """Yield numbers."""
    yield from range(n)


@traced
async def async_generator(n: int) -> AsyncIterator[int]:
    """Yield numbers."""
    for number in range(n):
        await asyncio.sleep(0)
        yield number


class Thing:
    """Methods of all kinds."""

    @traced
    def method(self) -> object:
        return self

    @traced
    @classmethod
    def class_above(cls) -> object:
        return cls

    @classmethod
    @traced
    def class_below(cls) -> object:
        return cls

    @traced
    @staticmethod
    def static_above(a: int) -> int:
        return a

    @staticmethod
    @traced
    def static_below(a: int) -> int:
        return a

    @property
    @traced
    def fact(self) -> int:
        return 5

    def double(self, factor: int) -> int:
        return 2 * factor

    four = traced(functools.partialmethod(double, 2))

    def __call__(self, a: int) -> int:
        return a


class AsyncThing:
    """Objects that are called and awaited."""

    async def __call__(self, a: int) -> int:
        await asyncio.sleep(0)
        return a


def run(call: Callable[[], Any]) -> Any:
    """Return the result of any kind of call."""
    result = call()
    if inspect.isawaitable(result):
        return asyncio.run(_await(result))
    if inspect.isasyncgen(result):
        return asyncio.run(_all(result))
    return list(result) if inspect.isgenerator(result) else result


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def _all(items: Any) -> list[Any]:
    return [item async for item in items]


thing = Thing()
CALLS: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "function": (
        lambda: function(1, 2, 3, c=4, d=5), (1, 2, (3,), 4, {"d": 5}), f"{HERE}.function"
    ),
    "coroutine": (lambda: coroutine(1), 1, f"{HERE}.coroutine"),
    "generator": (lambda: generator(3), [0, 1, 2], f"{HERE}.generator"),
    "async generator": (lambda: async_generator(3), [0, 1, 2], f"{HERE}.async_generator"),
    "method": (thing.method, thing, f"{HERE}.Thing.method"),
    "method of the class": (lambda: Thing.method(thing), thing, f"{HERE}.Thing.method"),
    "bound method": (lambda: traced(thing.double)(4), 8, f"{HERE}.Thing.double"),
    "classmethod, above": (Thing.class_above, Thing, f"{HERE}.Thing.class_above"),
    "classmethod, below": (lambda: Thing().class_below(), Thing, f"{HERE}.Thing.class_below"),
    "staticmethod, above": (lambda: Thing.static_above(1), 1, f"{HERE}.Thing.static_above"),
    "staticmethod, below": (lambda: thing.static_below(1), 1, f"{HERE}.Thing.static_below"),
    "property": (lambda: thing.fact, 5, f"{HERE}.Thing.fact"),
    "partialmethod": (thing.four, 4, f"{HERE}.Thing.double"),
    "partial": (traced(functools.partial(thing.double, 4)), 8, f"{HERE}.Thing.double"),
    "partial of a coroutine": (
        traced(functools.partial(coroutine.__wrapped__, 1)), 1, f"{HERE}.coroutine"  # type: ignore[attr-defined]
    ),
    "object": (lambda: traced(thing)(1), 1, f"{HERE}.Thing.__call__"),
    "async object": (lambda: traced(AsyncThing())(1), 1, f"{HERE}.AsyncThing.__call__"),
    "cached": (lambda: traced(functools.lru_cache(thing.double))(4), 8, f"{HERE}.Thing.double"),
    "built-in": (lambda: traced(divmod)(7, 2), (3, 1), "builtins.divmod"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "result", "name"), CALLS.values(), ids=CALLS)
def test_each_kind_of_callable(
    seen: Telemetry, call: Callable[[], Any], result: object, name: str
) -> None:
    """The result is the callable's own, and there is one span, named and located."""
    assert run(call) == result
    (found,) = seen.spans()
    attributes = dict(found.attributes or {})
    line, path = attributes.pop("code.line.number", None), attributes.pop("code.file.path", None)
    assert (found.name, attributes) == (name, {"code.function.name": name})
    assert (path, line is not None) == (
        (__file__, True) if name.startswith(HERE) else (None, False)
    )
    assert (found.status.status_code, found.events, found.parent) == (StatusCode.UNSET, (), None)


def test_code_attributes_name_the_line_of_the_definition(seen: Telemetry) -> None:
    """By the semantic conventions: function, file and first line (that of its decorator)."""
    function(1)
    (found,) = seen.spans()
    assert found.attributes == {
        "code.function.name": f"{HERE}.function",
        "code.file.path": __file__,
        "code.line.number": function.__wrapped__.__code__.co_firstlineno,  # type: ignore[attr-defined]
    }


def test_kind_of_function_stays() -> None:
    """What frameworks ask to know how to call it."""
    kinds = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
    assert [
        [kind.__name__ for kind in kinds if kind(decorated)]
        for decorated in (coroutine, generator, async_generator, function)
    ] == [["iscoroutinefunction"], ["isgeneratorfunction"], ["isasyncgenfunction"], []]
    assert inspect.iscoroutinefunction(traced(functools.partial(coroutine, 1)))
    assert inspect.iscoroutinefunction(traced(AsyncThing()))
    assert isinstance(inspect.getattr_static(Thing, "class_above"), classmethod)
    assert isinstance(inspect.getattr_static(Thing, "static_above"), staticmethod)


@pytest.mark.parametrize("decorated", [function, coroutine, generator, async_generator])
def test_metadata_stay(decorated: Any) -> None:
    """Name, documentation, signature and annotations; it can be pickled by name."""
    plain = decorated.__wrapped__
    assert inspect.signature(decorated) == inspect.signature(plain)
    for fact in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(decorated, fact) == getattr(plain, fact)
    assert pickle.loads(pickle.dumps(decorated)) is decorated  # noqa: S301 - our own


def test_options(seen: Telemetry) -> None:
    """Name, kind and attributes of every call."""

    @traced(name="fetch", kind=SpanKind.CLIENT, attributes={"source": "api", "none": None})
    def fetch() -> None:
        """Do nothing."""

    fetch()
    (found,) = seen.spans()
    attributes = dict(found.attributes or {})
    assert (found.name, found.kind, attributes["source"]) == ("fetch", SpanKind.CLIENT, "api")
    assert attributes["code.function.name"].startswith(f"{HERE}.test_options.")  # type: ignore[union-attr]
    assert "none" not in attributes


def test_span_is_current_inside_and_nests(seen: Telemetry) -> None:
    """Calls inside of calls are children, over all kinds."""

    @traced
    def outer() -> None:
        with span("middle"):
            list(generator(1))
            asyncio.run(coroutine(1))

    outer()
    ids = {found.context.span_id: found.name.rpartition(".")[2] for found in seen.spans()}
    parents = {
        found.name.rpartition(".")[2]: found.parent and ids[found.parent.span_id]
        for found in seen.spans()
    }
    assert parents == {
        "outer": None, "middle": "outer", "generator": "middle", "coroutine": "middle"
    }  # fmt: skip


REFUSED = {
    "a number": (5, "an object of type int: decorate a function"),
    "nothing": ([], "an object of type list: decorate a function"),
    "a text": ("fetch", "a text: write @traced(name='fetch')"),
    "a class": (Thing, "the class Thing: decorate its methods"),
    "a property": (
        property(lambda self: 1),
        "a property: put @traced below @property, next to the function",
    ),
}


@pytest.mark.parametrize(("target", "fix"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_called_is_refused_at_once(target: Any, fix: str) -> None:
    """At decoration, which is start-up, with the fix."""
    with pytest.raises(TypeError) as refusal:
        traced(target)
    expected = f"@traced takes a function, a method or another callable, got {fix}"
    assert str(refusal.value) == expected


@pytest.mark.parametrize("index", range(len(HOSTILE)))
@pytest.mark.parametrize("option", ["name", "attributes", "record_args", "kind"])
def test_wrong_options_are_counted_never_raised(seen: Telemetry, option: str, index: int) -> None:
    """Whatever an option is, the function works, and has a span."""
    decorate = traced(**{option: HOSTILE[index]})  # type: ignore[call-overload]
    assert decorate(lambda x: x)(3) == 3
    assert len(seen.spans()) == 1


def test_wrong_kind_is_internal(seen: Telemetry) -> None:
    """And is counted."""
    traced(kind="client")(divmod)(1, 1)  # type: ignore[call-overload]
    assert seen.spans()[0].kind is SpanKind.INTERNAL
    assert guard.drops() == {"invalid_value": 1}


def test_errors_of_the_caller_are_the_callers(seen: Telemetry) -> None:
    """A call with wrong arguments fails as it would without us."""
    with pytest.raises(TypeError, match=r"function\(\) missing 1 required positional argument"):
        function()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"generator\(\) missing 1 required positional argument"):
        next(generator())  # type: ignore[call-arg]
    assert [found.name for found in seen.spans()] == [f"{HERE}.function"]


def test_without_a_provider_everything_is_a_no_op() -> None:
    """Nothing is recorded, nothing becomes current, arguments are not read."""
    script = """
from opentelemetry import context, trace
from etl_telemetry.tracing import traced, span, emit

class Unread:
    def __str__(self): raise SystemExit("was read")

@traced(record_args=True)
def f(x):
    assert context.get_current() is before
    return 1

@traced
def g():
    yield context.get_current() is before

before = context.get_current()
assert f(Unread()) == 1
assert list(g()) == [True]
with span("x", value=Unread()) as current:
    assert context.get_current() is before
    current.set_attribute("a", Unread())
    assert current is trace.INVALID_SPAN
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
