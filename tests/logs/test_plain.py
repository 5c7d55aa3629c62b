"""`Converter`: any value becomes bounded plain data, without running queries or leaking secrets."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import logging
import math
import socket
import uuid
from collections import OrderedDict, deque, namedtuple
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.logs import plain
from etl_telemetry.logs.plain import Converter
from etl_telemetry.redaction import Policy


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("asked")


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class NotEvenAsked:
    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("isinstance asks this")


class Index:
    def __index__(self) -> int:
        return 7


class BrokenMap(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Endless(Sequence[int]):
    def __getitem__(self, index: Any) -> Any:
        return 1

    def __len__(self) -> int:
        return 2**62


@dataclass
class Account:
    user: str
    password: str
    hidden: str = field(default="x", repr=False)


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what applications have


class Row:
    """The shape of a Django model: printing it may query the database."""

    _meta = SimpleNamespace(label="flights.Carrier")
    pk = "AA"

    def __str__(self) -> str:
        raise AssertionError("printed")


class Rows:
    """The shape of a Django query set: printing it runs the query."""

    def _fetch_all(self) -> None:
        raise AssertionError("queried")

    def __str__(self) -> str:
        raise AssertionError("printed")


class Request:
    """The shape of a Django request."""

    method, path = "GET", "/x"

    def get_full_path(self) -> str:
        return "/x?token=1"

    def build_absolute_uri(self) -> str:
        return "http://host/x?token=1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (-(2**63), -(2**63)),
        (2**63, "9223372036854775808"),
        (10**5_000, "<int>"),
        (0.5, 0.5),
        ("text", "text"),
        (Loud("quiet"), "quiet"),
        ("a\ud800b", "a?b"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (b"caf\xc3\xa9\xff", "café\\xff"),
        (bytearray(b"x"), "x"),
        (memoryview(b"x"), "x"),
        (dt.date(2013, 1, 1), "2013-01-01"),
        (dt.datetime(2013, 1, 1, tzinfo=dt.UTC), "2013-01-01T00:00:00+00:00"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(minutes=1), 60.0),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/data"), "/data"),
        (Index(), 7),
        ((1, "a"), [1, "a"]),
        ({1}, [1]),
        (deque([1]), [1]),
        (range(2), [0, 1]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (MappingProxyType({"a": {"b": [None]}}), {"a": {"b": [None]}}),
        (OrderedDict({1: 2, None: 3, (4,): 5}), {"1": 2, "None": 3, "[4]": 5}),
        (ValueError('value "Ann" is bad'), 'ValueError: value "?" is bad'),
        ("https://u:p@host/a?token=1", "https://REDACTED:REDACTED@host/a?token=REDACTED"),
        ({"api_key": "1", "rows": 2}, {"api_key": "REDACTED", "rows": 2}),
        (Account("ann", "pw"), {"user": "ann", "password": "REDACTED"}),
        (Row(), "flights.Carrier AA"),
        (Rows(), "<Rows>"),
        (Request(), {"method": "GET", "path": "/x"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_value_has_its_plain_form(value: object, expected: object) -> None:
    """Scalars stay, containers nest, the rest is told without harm; nothing counts as changed."""
    converter = Converter()
    converted = converter.convert(value)
    assert converted == expected
    assert type(converted) is type(expected)
    assert (converter.cut, converter.changed) == (False, False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Unprintable(), "<unprintable Unprintable>"),
        (NotEvenAsked(), "<unprintable NotEvenAsked>"),
        (BrokenMap(), "<unprintable BrokenMap>"),
        ([Unprintable(), 1], ["<unprintable Unprintable>", 1]),
        ({Unprintable(): 1}, {"<unprintable Unprintable>": 1}),
    ],
    ids=["str", "class", "map", "list", "key"],
)
def test_a_value_that_fails_is_named_by_its_type_and_noted(value: object, expected: object) -> None:
    """The rest of the record survives, and the bridge can count that something changed."""
    converter = Converter()
    assert converter.convert(value) == expected
    assert converter.changed


def test_a_socket_does_not_show_its_address() -> None:
    """Printed, a socket shows the client's address (Django puts one on its records)."""
    with socket.socket() as connection:
        assert Converter().convert(connection) == "<socket>"


def test_a_generator_is_not_used_up() -> None:
    """Logging a generator must not take its items away from the application."""
    numbers = iter([1, 2])
    assert str(Converter().convert(numbers)).startswith("<list_iterator object at ")
    assert list(numbers) == [1, 2]


@pytest.mark.parametrize(
    ("value", "length"),
    [("x" * 10_000, plain.MAX_TEXT), (b"x" * 10_000, plain.MAX_TEXT), (range(1_000), 128),
     ({n: n for n in range(1_000)}, 128), (Endless(), 128)],
    ids=["text", "bytes", "list", "map", "endless"],
)  # fmt: skip
def test_long_values_are_cut_and_noted(value: object, length: int) -> None:
    """Text keeps its beginning, containers their first items."""
    converter = Converter()
    converted = converter.convert(value)
    assert len(converted) == length  # type: ignore[arg-type]
    assert converter.cut


def test_circles_and_depth_end() -> None:
    """A list in itself is named as such, and nesting ends at its bound."""
    circle: list[object] = [1]
    circle.append(circle)
    assert Converter().convert(circle) == [1, "<circular>"]
    deep: list[object] = []
    for _ in range(50):
        deep = [deep]
    converter = Converter()
    assert converter.convert(deep) == [[[[[["…"]]]]]]
    assert converter.cut


def test_one_record_has_a_bound_over_all_its_values() -> None:
    """Wide and deep together do not multiply."""
    converter = Converter()
    converted = converter.convert([[[[] for _ in range(100)] for _ in range(100)]])
    assert len(json.dumps(converted)) < 20 * plain.MAX_VALUES
    assert converter.cut


def test_only_json_refuses_infinite_numbers() -> None:
    """OTLP has them; JSON, and Elasticsearch, do not."""
    assert Converter(finite=True).convert([math.inf, -math.inf, math.nan, 1.0]) == [
        None, None, None, 1.0,
    ]  # fmt: skip
    assert Converter().convert(math.inf) == math.inf


def test_the_allow_list_opens_names_and_query_values() -> None:
    """What the user allows stays as it is."""
    policy = Policy(allow=("api_key", "url.query.page"))
    converter = Converter(policy=policy)
    assert converter.convert({"api_key": "1", "url": "/a?page=2&t=1"}) == {
        "api_key": "1",
        "url": "/a?page=2&t=REDACTED",
    }


ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.characters(categories=["Cs"]), st.decimals(), st.datetimes(), st.timedeltas(),
        st.uuids(), st.complex_numbers(), st.builds(Unprintable), st.builds(NotEvenAsked),
        st.builds(BrokenMap), st.builds(object), st.just(Endless()), st.just(len),
        st.builds(ValueError, st.text()),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.one_of(st.text(), st.integers(), st.none()), inner),
        st.frozensets(st.integers()), st.tuples(inner, inner),
    ),
    max_leaves=15,
)  # fmt: skip


@given(ANYTHING)
def test_anything_becomes_strict_json(value: object) -> None:
    """No value raises, and what comes out is JSON in the strict sense, encodable as UTF-8."""
    text = json.dumps(Converter(finite=True).convert(value), allow_nan=False, ensure_ascii=False)
    text.encode()


@given(ANYTHING)
def test_converting_never_logs(value: object) -> None:
    """A formatter runs under its handler's lock: a log call from there can deadlock."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        Converter().field(value, value)
    finally:
        logging.getLogger().removeHandler(handler)
    assert records == []
