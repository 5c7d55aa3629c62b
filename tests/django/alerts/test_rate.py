"""A process takes so many deliveries in a minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.django.alerts.rate import Rate


def test_a_minutes_worth_at_once_then_evenly() -> None:
    """A burst is fine; what is above waits for the next permit."""
    now = [1_000.0]
    rate = Rate(60, clock=lambda: now[0])
    assert [rate.wait() for _ in range(60)] == [0.0] * 60
    assert rate.wait() == 1.0
    now[0] += 1.0
    assert (rate.wait(), rate.wait()) == (0.0, 1.0)
    now[0] += 3_600.0
    assert [rate.wait() for _ in range(61)] == [*[0.0] * 60, 1.0]


@given(st.integers(1, 1_000), st.lists(st.floats(0, 30), max_size=200))
def test_no_minute_has_more_than_twice_the_rate(per_minute: int, pauses: list[float]) -> None:
    """A full bucket and its refill: that is the most."""
    now, taken = [0.0], []
    rate = Rate(per_minute, clock=lambda: now[0])
    for pause in pauses:
        now[0] += pause
        if rate.wait() == 0.0:
            taken.append(now[0])
    for begin in taken:
        assert len([t for t in taken if begin <= t < begin + 60]) <= 2 * per_minute
