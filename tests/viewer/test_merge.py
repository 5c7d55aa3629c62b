"""Exact arithmetic on metric values."""

from __future__ import annotations

import bisect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.viewer.merge import add, dump, parse, total
from etl_telemetry.viewer.records import ExponentialHistogram, Histogram
from support.patience import PATIENT

numbers = st.integers(-1000, 1000)
bounds = st.lists(st.integers(-50, 50), unique=True, max_size=6).map(sorted).map(tuple)


def histogram(values: list[int], bounds: tuple[float, ...]) -> Histogram:
    """Measure: the value goes into the first bucket whose bound it does not exceed."""
    buckets = [0] * (len(bounds) + 1)
    for value in values:
        buckets[bisect.bisect_left(bounds, value)] += 1
    least, most = (min(values), max(values)) if values else (0, 0)
    return Histogram(len(values), sum(values), least, most, bounds, tuple(buckets))


def exponential(values: list[int], scale: int) -> ExponentialHistogram:
    """Measure positive powers of two: exact at every scale."""
    base_exponent = 2.0**-scale
    positive: dict[int, int] = {}
    for value in values:
        index = math.ceil(value / base_exponent) - 1
        positive[index] = positive.get(index, 0) + 1
    return ExponentialHistogram(
        len(values), None, None, None, scale, 0, 0.0, dict(sorted(positive.items())), {}
    )


@PATIENT
@given(st.lists(numbers, min_size=1), st.lists(numbers, min_size=1), bounds, bounds)
def test_merging_histograms_is_measuring_together(
    one: list[int], other: list[int], these: tuple[float, ...], those: tuple[float, ...]
) -> None:
    """The sum of two histograms is that of all measurements, on the bounds that both have."""
    common = tuple(sorted(set(these) & set(those)))
    assert add(histogram(one, these), histogram(other, those)) == histogram(one + other, common)


@PATIENT
@given(
    st.lists(st.integers(-40, 40)),
    st.lists(st.integers(-40, 40)),
    st.integers(-3, 5),
    st.integers(-3, 5),
)
def test_merging_exponential_histograms_is_measuring_together(
    one: list[int], other: list[int], fine: int, coarse: int
) -> None:
    """Measurements are exponents of two; the merged scale is the coarser one."""
    merged = add(exponential(one, fine), exponential(other, coarse))
    assert merged == exponential(one + other, min(fine, coarse))


@PATIENT
@given(st.lists(st.integers(-(2**62), 2**62), min_size=1))
def test_integers_stay_exact(values: list[int]) -> None:
    """No float comes in between."""
    assert total(values) == sum(values)
    assert isinstance(total(values), int)


@PATIENT
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_the_sum_of_floats_does_not_depend_on_the_order(values: list[float]) -> None:
    """The same series give the same total in whatever order they came."""
    assert total(values) == total(values[::-1]) == total(sorted(values))


def test_special_floats_have_a_sum() -> None:
    """Infinities of both signs give NaN, not an error."""
    assert total([1.0, math.inf]) == math.inf
    assert math.isnan(total([math.inf, -math.inf]))  # type: ignore[arg-type]


@PATIENT
@given(st.lists(numbers, min_size=1), bounds)
def test_values_survive_the_store(values: list[int], these: tuple[float, ...]) -> None:
    """What is written as JSON is read back equal."""
    made = histogram(values, these)
    assert parse("histogram", these, dump(made)) == made
    other = exponential([abs(value) for value in values], 2)
    assert parse("exponential_histogram", (), dump(other)) == other
    assert parse("sum", (), dump(values[0])) == values[0]


def test_special_floats_survive_the_store() -> None:
    """By their OTLP names, since JSON has none for them."""
    assert parse("gauge", (), '"Infinity"') == math.inf
    assert parse("gauge", (), dump(-math.inf)) == -math.inf
    assert math.isnan(parse("gauge", (), '"NaN"'))  # type: ignore[arg-type]


def test_an_unknown_part_stays_unknown() -> None:
    """A writer that sends no sum, no minimum or no buckets leaves the merged value without."""
    full = Histogram(1, 5, 5, 5, (1.0,), (0, 1))
    assert add(full, Histogram(2, None, None, None, (1.0,), (1, 1))) == Histogram(
        3, None, None, None, (1.0,), (1, 2)
    )
    assert add(full, Histogram(2, 7, 3, 4, (), ())) == Histogram(3, 12, 3, 5, (), ())


def test_different_kinds_are_not_added() -> None:
    """A number and a histogram have no sum."""
    with pytest.raises(TypeError, match=r"^cannot add int and Histogram$"):
        add(1, Histogram(0, 0, None, None, (), ()))


def test_the_coarse_bounds_are_the_common_ones() -> None:
    """An example to read: three bounds and two, one in common."""
    one = Histogram(6, 0, None, None, (1.0, 2.0, 3.0), (1, 2, 3, 0))
    other = Histogram(4, 0, None, None, (2.0, 5.0), (1, 1, 2))
    assert add(one, other) == Histogram(10, 0, None, None, (2.0,), (4, 6))
