"""Expected against happened, with Celery's own schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry import guard
from etl_telemetry.observer import Entry, Schedules
from support.patience import PATIENT

APP = Celery("shop", set_as_current=False)
APP.conf.timezone = "Europe/Berlin"
HOURLY = crontab(minute="0", app=APP)
EVERY_MINUTE = schedule(60, app=APP)
TOLERANCE = 60


def at(clock: str, day: int = 10) -> datetime:
    """Return a time of a day in November 2026, in UTC."""
    return datetime.fromisoformat(f"2026-11-{day:02}T{clock}+00:00")


class Looks:
    """One schedule that is looked at again and again."""

    def __init__(self, rule: Any, **options: Any) -> None:
        self.rule = rule
        self.schedules = Schedules(**{"tolerance": TOLERANCE, **options})
        self.missed = 0

    def look(self, now: datetime, last_run: datetime | None) -> tuple[int, datetime | None]:
        """Return what was missed so far, and what is due next."""
        readings = self.schedules.readings([Entry("report", self.rule, last_run)], now)
        told = {reading.metric.name: reading.value for reading in readings}
        assert {str(reading.labels["schedule.name"]) for reading in readings} == {"report"}
        self.missed += int(told["celery.beat.missed"])
        due = told.get("celery.beat.next_due.timestamp")
        return self.missed, None if due is None else datetime.fromtimestamp(due, UTC)


def test_what_is_sent_in_time_is_not_missed() -> None:
    """Within the tolerance; the next due time follows from the last run."""
    looks = Looks(HOURLY)
    assert looks.look(at("10:30:00"), at("10:00:01")) == (0, at("11:00:00"))
    assert looks.look(at("11:00:59"), at("10:00:01")) == (0, at("11:00:00"))
    assert looks.look(at("11:01:01"), at("11:00:58")) == (0, at("12:00:00"))


def test_each_due_time_that_nobody_served_is_missed_once() -> None:
    """When its tolerance is over; a run that comes too late takes nothing back."""
    looks = Looks(HOURLY)
    run = at("10:00:01")
    assert looks.look(at("11:00:30"), run) == (0, at("11:00:00"))
    assert looks.look(at("11:01:00"), run) == (1, at("11:00:00"))
    assert looks.look(at("11:30:00"), run) == (1, at("11:00:00"))
    assert looks.look(at("13:30:00"), run) == (3, at("11:00:00"))
    assert looks.look(at("13:45:00"), at("13:40:00")) == (3, at("14:00:00"))
    assert looks.look(at("14:02:00"), at("14:00:00")) == (3, at("15:00:00"))


def test_an_interval_counts_from_its_last_run() -> None:
    """As beat does."""
    looks = Looks(EVERY_MINUTE)
    assert looks.look(at("10:00:40"), at("10:00:10")) == (0, at("10:01:10"))
    assert looks.look(at("10:02:11"), at("10:00:10")) == (1, at("10:01:10"))
    assert looks.look(at("10:04:11"), at("10:00:10")) == (3, at("10:01:10"))
    assert looks.look(at("10:05:00"), at("10:04:30")) == (3, at("10:05:30"))


def test_what_was_missed_before_the_first_look_is_not_counted() -> None:
    """The observer before this one may have counted it; what is just due is not lost."""
    looks = Looks(HOURLY)
    assert looks.look(at("13:00:30"), at("10:00:01")) == (0, at("11:00:00"))
    assert looks.look(at("13:01:30"), at("10:00:01")) == (1, at("11:00:00"))


def test_what_was_missed_before_the_first_look_is_counted_from_the_begin() -> None:
    """By beat, of which there is one: it knows that it was away."""
    looks = Looks(HOURLY, from_begin=True)
    assert looks.look(at("13:00:30"), at("10:00:01")) == (2, at("11:00:00"))


def test_a_truth_that_lags_has_more_time() -> None:
    """It tells the time of the run all the same."""
    looks = Looks(HOURLY, lag=200)
    assert looks.look(at("11:04:19"), at("10:00:01")) == (0, at("11:00:00"))
    assert looks.look(at("11:04:20"), at("11:00:01")) == (0, at("12:00:00"))
    assert looks.look(at("12:04:20"), at("11:00:01")) == (1, at("12:00:00"))


def test_an_entry_that_never_ran_is_expected_from_its_first_sight() -> None:
    """It may be new."""
    looks = Looks(HOURLY)
    assert looks.look(at("10:30:00"), None) == (0, at("11:00:00"))
    assert looks.look(at("11:01:00"), None) == (1, at("11:00:00"))


def test_a_changed_schedule_was_not_due_before() -> None:
    """From daily to hourly in the afternoon is not thirteen missed runs."""
    looks = Looks(crontab(minute="0", hour="1", app=APP))
    assert looks.look(at("02:30:00"), at("00:00:01"))[0] == 0
    looks.rule = HOURLY
    assert looks.look(at("13:31:00"), at("00:00:01"))[0] == 0
    assert looks.look(at("14:01:00"), at("00:00:01"))[0] == 1


def test_an_entry_that_was_away_begins_anew() -> None:
    """Somebody switched it off and on again."""
    looks = Looks(HOURLY)
    looks.look(at("10:30:00"), at("10:00:01"))
    assert looks.schedules.readings([], at("11:30:00")) == []
    assert looks.look(at("13:30:00"), at("10:00:01"))[0] == 0


def test_wall_clocks_and_their_changes_are_the_schedules() -> None:
    """Daily at 2:30 in Berlin, over the end of summer time; the day has 25 hours."""
    looks = Looks(crontab(minute="30", hour="3", app=APP))
    run = datetime(2026, 10, 24, 1, 30, 1, tzinfo=UTC)
    now = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert looks.look(now, run) == (0, datetime(2026, 10, 25, 2, 30, tzinfo=UTC))


def test_a_schedule_that_is_never_due_again_has_no_due_time() -> None:
    """RedBeat's rules may end; a schedule that raises leaves the others alone."""

    class Never:
        def remaining_estimate(self, last_run_at: datetime) -> timedelta | None:
            return None

    class Broken:
        def remaining_estimate(self, last_run_at: datetime) -> timedelta | None:
            raise ValueError("no rule")

    guard.reset_after_fork()
    assert Looks(Never()).look(at("10:00:00"), at("09:00:00")) == (0, None)
    entries = [Entry("broken", Broken(), None), Entry("good", HOURLY, None)]
    told = Schedules(tolerance=1).readings(entries, at("10:00:00"))
    assert {reading.labels["schedule.name"] for reading in told} == {"good"}
    guard.reset_after_fork()


@given(
    st.lists(st.integers(0, 59), min_size=1, max_size=20),
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.sampled_from([HOURLY, crontab(minute="*/7", app=APP)]),
)
@PATIENT
def test_a_beat_that_is_always_in_time_misses_nothing(
    delays: list[int], pauses: list[int], rule: Any
) -> None:
    """However late within the tolerance it sends, and whenever somebody looks."""
    looks = Looks(rule)
    begin = now = at("00:00:30")
    runs = [begin]
    for pause in pauses:
        now += timedelta(seconds=pause * 20)
        while True:
            due = _next(rule, runs[-1]) + timedelta(seconds=delays[len(runs) % len(delays)])
            if due > now:
                break
            runs.append(due)
        assert looks.look(now, runs[-1])[0] == 0


def _next(rule: Any, after: datetime) -> datetime:
    base, delta, _ = rule.remaining_delta(after)
    due: datetime = base + delta
    return due.astimezone(UTC)


@pytest.mark.parametrize("rule", [HOURLY, EVERY_MINUTE])
def test_a_very_old_schedule_is_no_endless_work(rule: Any) -> None:
    """A look is bounded; the next one goes on."""
    looks = Looks(rule, from_begin=True)
    now = datetime(2026, 11, 10, tzinfo=UTC)
    assert 0 < looks.look(now, now - timedelta(days=30))[0] <= 10_000
