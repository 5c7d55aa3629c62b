"""`record_args`: what is asked for, bounded and redacted, and nothing else."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry import guard
from etl_telemetry.redaction import Policy
from etl_telemetry.tracing import configure, traced
from etl_telemetry.tracing.arguments import show
from support.hostile import HOSTILE, anything
from support.telemetry import Telemetry, telemetry

PREFIX = "etl_telemetry.argument."


class Color(enum.Enum):
    """An enumeration."""

    RED = 1


class Endless:
    """What must not be printed: a query set, a data frame."""

    def __repr__(self) -> str:
        raise AssertionError("was printed")


def recorded(seen: Telemetry) -> dict[str, object]:
    """Return the recorded arguments of the only span."""
    (found,) = seen.spans()
    return {
        key.removeprefix(PREFIX): value
        for key, value in (found.attributes or {}).items()
        if key.startswith(PREFIX)
    }


def load(source: str, *rows: int, limit: int = 10, password: str = "", **more: Any) -> None:
    """Take arguments of all kinds."""


def test_nothing_is_recorded_by_default(seen: Telemetry) -> None:
    """Arguments are data."""
    traced(load)("a", 1, limit=2)
    assert recorded(seen) == {}


def test_all_arguments(seen: Telemetry) -> None:
    """By the names of their parameters, defaults too; secrets are masked."""
    traced(record_args=True)(load)("a", 1, 2, password="pw", api_key="k", batch=7)
    assert recorded(seen) == {
        "source": "a", "rows": (1, 2), "limit": 10, "password": "REDACTED",
        "api_key": "REDACTED", "batch": 7,
    }  # fmt: skip


@pytest.mark.parametrize("names", [["limit", "batch"], ("limit", "batch"), {"limit", "batch"}])
def test_named_arguments(seen: Telemetry, names: Any) -> None:
    """Those and no others."""
    traced(record_args=names)(load)("a", batch=7)
    assert recorded(seen) == {"limit": 10, "batch": 7}
    assert guard.drops() == {}


def test_one_name(seen: Telemetry) -> None:
    """A text is one name, not its letters."""
    traced(record_args="source")(load)("a")
    assert recorded(seen) == {"source": "a"}


def test_receiver_is_not_recorded(seen: Telemetry) -> None:
    """`self` and `cls` are no arguments."""

    class Job:
        @traced(record_args=True)
        def run(self, n: int) -> None:
            pass

    Job().run(3)
    assert recorded(seen) == {"n": 3}


def test_unknown_name_is_counted(seen: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """At decoration, with the name."""
    traced(record_args=["rows", "nmae"])(lambda rows: rows)(1)
    assert recorded(seen) == {"rows": 1}
    assert guard.drops() == {"invalid_value": 1}
    assert [r.detail for r in caplog.records if r.name == "etl_telemetry"] == [  # type: ignore[attr-defined]
        "record_args names no parameter of the function: 'nmae'"
    ]


def test_function_without_signature(seen: Telemetry) -> None:
    """Some built-in functions tell none: counted, and nothing is recorded."""
    assert traced(record_args=True)(min)(2, 1) == 1
    assert recorded(seen) == {}
    assert guard.drops() == {"invalid_value": 1}


def test_wrong_call_fails_as_it_would(seen: Telemetry) -> None:
    """The arguments fit no parameter: the call says so, not we."""
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'source'"):
        traced(record_args=True)(load)()  # type: ignore[call-arg]
    assert recorded(seen) == {}


def test_allowed_secret(seen: Telemetry) -> None:
    """The allow-list opens an argument that only looks like a secret."""
    configure(policy=Policy(allow=("token",)))
    traced(record_args=True)(lambda token, secret: None)("t", "s")
    assert recorded(seen) == {"token": "t", "secret": "REDACTED"}


def test_many_arguments_are_cut(seen: Telemetry) -> None:
    """At 32."""
    traced(record_args=True)(load)("a", **{f"x{n}": n for n in range(100)})
    assert len(recorded(seen)) == 32


SHOWN = {
    "text": ("a", "a"),
    "long text": ("x" * 1_000, "x" * 127 + "…" + "x" * 128),
    "url": ("http://u:p@a/?b=c", "http://REDACTED:REDACTED@a/?b=REDACTED"),
    "numbers": (1.5, 1.5),
    "huge number": (2**70, str(2**70)),
    "truth": (True, True),
    "nothing": (None, None),
    "list": ([1, 2], [1, 2]),
    "mixed list": ((1, "a"), ["1", "a"]),
    "long list": (list(range(100)), "<list of 100>"),
    "list of objects": ([Endless()], "<list of 1>"),
    "range": (range(3), [0, 1, 2]),
    "set": ({1}, [1]),
    "map": ({"password": "x"}, "<dict of 1>"),
    "bytes": (b"secret", "<bytes of 6>"),
    "date": (dt.date(2013, 1, 1), "2013-01-01"),
    "decimal": (Decimal("1.5"), "1.5"),
    "uuid": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "path": (Path("/a/b"), "/a/b"),
    "enumeration": (Color.RED, "Color.RED"),
    "object": (Endless(), "<Endless>"),
    "function": (print, "<builtin_function_or_method>"),
}


@pytest.mark.parametrize(("value", "expected"), SHOWN.values(), ids=SHOWN)
def test_show(value: object, expected: object) -> None:
    """Plain values are told, of everything else the type; no code of the value runs."""
    assert show(value) == expected


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_hostile_arguments(seen: Telemetry, index: int) -> None:
    """Each known nuisance."""
    traced(record_args=True)(load)(HOSTILE[index], x=HOSTILE[index])  # type: ignore[arg-type]
    seen.spans()[0].to_json()


@given(st.lists(anything(), max_size=3), st.dictionaries(st.text(), anything(), max_size=3))
def test_any_arguments_are_taken(args: list[object], kwargs: dict[str, object]) -> None:
    """Whatever a function is called with, it is called, and its span arrives."""
    seen = telemetry()
    result = traced(record_args=True)(lambda *args, **kwargs: (args, kwargs))(*args, **kwargs)
    assert list(map(id, result[0])) == list(map(id, args))
    assert result[1].keys() == kwargs.keys()
    (found,) = seen.spans()
    found.to_json()
