"""Coercion: whatever comes in, what goes out is legal for OpenTelemetry and for UTF-8."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given

from etl_telemetry import guard, values
from support.hostile import anything


@pytest.fixture(autouse=True)
def _fresh_counts() -> Iterator[None]:
    guard.reset_after_fork()
    yield
    guard.reset_after_fork()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (True, True),
        (3, 3),
        (2**63, "9223372036854775808"),
        (1.5, 1.5),
        (b"caf\xc3\xa9", "café"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([1, 2], [1, 2]),
        ((1, "a"), ["1", "a"]),
        ([[1], [2]], ["[1]", "[2]"]),
        ([(1,), 2], ["(1,)", "2"]),
        ([], []),
        (None, "None"),
        ("\ud800", "?"),
    ],
)
def test_a_value_keeps_its_type_where_the_protocol_has_it(value: object, expected: object) -> None:
    """Scalars and lists of one type stay, everything else becomes text."""
    result = values.attribute(value)
    assert (type(result), result) == (type(expected), expected)


def test_a_value_that_cannot_be_printed_is_named_and_counted() -> None:
    """The error of the application's own `__str__` stays inside."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert values.text(Broken()) == "<unprintable Broken>"
    assert guard.drops() == {"invalid_value": 1}


def test_lists_that_share_lists_are_printed_in_bounded_time() -> None:
    """Forty levels of a list that holds the one below twice: 2**40 items for `str`."""
    value: object = 0
    for _ in range(40):
        value = [value, value]
    assert values.text(value).startswith("[[[[...], [...]], ")
    assert values.attribute({"a": {"b": [1, "x"]}}) == "{'a': {'b': [1, 'x']}}"


def test_long_text_and_long_sequences_are_cut_and_counted() -> None:
    """Nobody sends a megabyte in an attribute."""
    assert values.attribute("x" * 2_000) == "x" * 1_023 + "…"
    assert values.attribute(range(1_000)) == list(range(128))
    assert guard.drops() == {"truncated": 2}


def test_attributes_leave_out_none_and_empty_keys() -> None:
    """None says that there is nothing to say."""
    assert values.attributes({"a": None, "": 1, "b": 2}) == {"b": 2}


@pytest.mark.parametrize(
    ("value", "count", "seconds"),
    [
        (0, 0, 0.0),
        (7, 7, 7.0),
        (7.0, 7, 7.0),
        (7.5, None, 7.5),
        (-1, None, None),
        (True, None, None),
        ("7", None, None),
        (math.nan, None, None),
        (math.inf, None, None),
        (2**63, None, float(2**63)),
        (None, None, None),
    ],
)
def test_counts_and_seconds_take_numbers_only(
    value: object, count: int | None, seconds: float | None
) -> None:
    """A count is a whole number >= 0; seconds are finite and >= 0."""
    assert (values.count(value), values.seconds(value)) == (count, seconds)


def _legal(value: object) -> bool:
    if isinstance(value, list):
        return len({type(item) for item in value}) <= 1 and all(
            _legal(item) and not isinstance(item, list) for item in value
        )
    if isinstance(value, str):
        value.encode("utf-8")
        return len(value) <= values.DEFAULT_LIMIT
    return isinstance(value, (bool, float)) or (
        isinstance(value, int) and -(2**63) <= value < 2**63
    )


@given(anything())
def test_no_value_raises_and_every_result_is_legal(value: object) -> None:
    """Any value at all becomes something that the SDK takes without a warning."""
    previous = logging.root.manager.disable
    logging.disable()
    try:
        assert _legal(values.attribute(value))
        assert isinstance(values.text(value), str)
        values.count(value)
        values.seconds(value)
    finally:
        logging.disable(previous)


def test_a_list_that_holds_itself_many_times_is_printed_once() -> None:
    """Walked for each way that leads to it, it would take for ever."""
    knot: list[object] = []
    knot.extend([knot] * 3)
    printed = values.attribute(knot)
    assert isinstance(printed, list)
    assert {str(item)[:20] for item in printed} == {"[[[[...], [...], [.."}
