"""The phases between publish and begin: never negative, and together the whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.celery.waits import Times, Waits, moment, split
from support.patience import PATIENT

S = 10**9
MOMENTS = st.integers(0, 10**19)


@pytest.mark.parametrize(
    ("times", "retry", "expected"),
    [
        (Times(0, None, 2 * S, 3 * S), False, {"broker": 2.0, "prefetch": 1.0}),
        (Times(0, 5 * S, 2 * S, 6 * S), False, {"eta": 5.0, "broker": 0.0, "prefetch": 1.0}),
        (Times(0, 5 * S, 2 * S, 6 * S), True, {"retry": 5.0, "broker": 0.0, "prefetch": 1.0}),
        (Times(0, 1 * S, 4 * S, 6 * S), False, {"eta": 1.0, "broker": 3.0, "prefetch": 2.0}),
        (Times(0, 9 * S, 4 * S, 6 * S), False, {"eta": 6.0, "broker": 0.0, "prefetch": 0.0}),
        (Times(2 * S, 1 * S, 4 * S, 6 * S), False, {"eta": 0.0, "broker": 2.0, "prefetch": 2.0}),
        (Times(0, None, None, 3 * S), False, {"broker": 3.0}),
        (Times(None, None, 2 * S, 3 * S), False, {"prefetch": 1.0}),
        (Times(None, 3 * S, 2 * S, 4 * S), False, {"prefetch": 1.0}),
        (Times(None, None, None, 3 * S), False, {}),
    ],
    ids=[
        "at once", "eta", "retry", "eta is over in the broker", "eta after the begin",
        "eta in the past", "no receipt", "no publish", "no publish, an eta", "nothing",
    ],
)  # fmt: skip
def test_each_second_belongs_to_one_phase(
    times: Times, expected: dict[str, float], *, retry: bool
) -> None:
    """What was asked for comes first, then the broker, then the worker."""
    assert split(times, retry=retry) == Waits(expected, None)


def test_a_publisher_whose_clock_is_ahead_makes_no_negative_wait() -> None:
    """The publish counts as at the receipt, and the skew is told."""
    waited = split(Times(10 * S, None, 7 * S, 8 * S), retry=False)
    assert waited == Waits({"broker": 0.0, "prefetch": 1.0}, 3.0)
    assert waited.attributes() == {
        "task.queue.wait.broker": 0.0,
        "task.queue.wait.prefetch": 1.0,
        "task.queue.clock_skew": 3.0,
    }


@PATIENT
@given(
    published=MOMENTS,
    due=st.none() | MOMENTS,
    received=st.none() | MOMENTS,
    started=MOMENTS,
    retry=st.booleans(),
)
def test_the_phases_add_up_to_the_whole(
    published: int, due: int | None, received: int | None, started: int, *, retry: bool
) -> None:
    """Whatever the clocks say: no phase is negative, and nothing is counted twice."""
    waited = split(Times(published, due, received, started), retry=retry).seconds
    seen = min(started, received) if received is not None else started
    assert all(seconds >= 0 for seconds in waited.values())
    assert sum(waited.values()) == pytest.approx((started - min(published, seen)) / 1e9)


@pytest.mark.parametrize(
    ("eta", "expected"),
    [
        ("2026-01-01T00:00:00+00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00", datetime(2025, 12, 31, 22, tzinfo=UTC)),
        ("2026-01-01T00:00:00.5Z", datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("soon", None),
        (None, None),
    ],
)
def test_an_eta_without_a_zone_is_in_the_zone_of_the_application(
    eta: str | None, expected: datetime | None
) -> None:
    """As Celery reads it."""
    found = moment(eta, timezone(timedelta(hours=2)))
    assert found == (None if expected is None else int(expected.timestamp() * 1e6) * 1_000)
