"""Figures from the database, compared with plain Python over the same rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from work.models import Execution, Flow, Job, Team

from etl_telemetry.django.figures import (
    PipelineMetrics,
    PipelineVolume,
    SystemMetrics,
    pipeline_metrics,
    system_metrics,
)
from etl_telemetry.django.figures.percentiles import percentile
from support.patience import ON_A_DATABASE

pytestmark = pytest.mark.django_db

UNTIL = datetime(2026, 4, 10, 12, tzinfo=UTC)
"""Thirty days before it the clocks of Vienna had not gone forward yet."""
MONTH = timedelta(days=30)
WORDS = {
    "QUEUED": "pending", "RUNNING": "running", "DONE": "success", "ERROR": "failed",
    "TIMEOUT": "failed", "STOPPED": "cancelled", "VANISHED": "lost",
}  # fmt: skip


def at(seconds: float) -> datetime:
    """Return a time so long before the end of the window, as the project keeps times."""
    moment = UNTIL - timedelta(seconds=seconds)
    return moment if settings.USE_TZ else moment.replace(tzinfo=None)


def end() -> datetime:
    """Return the end of the window."""
    return at(0)


@dataclass(frozen=True)
class Ran:
    """One run: what is written, and what the oracle computes from."""

    state: str
    before: int
    took: int | None
    stats: tuple[object, ...]


NUMBERS = st.one_of(
    st.integers(-3, 10**12 + 3), st.integers(0, 50), st.sampled_from([2.0, 2.5, 1e3, 1e300]),
    st.sampled_from([None, True, "7", "", [], {}, [3], 2**63, -1]),
)  # fmt: skip
STATS = st.one_of(
    st.none(), st.just({}), st.just([1]), st.just("rows"),
    st.fixed_dictionaries({"rows": NUMBERS}),
    st.fixed_dictionaries(
        {"rows": NUMBERS, "steps": st.one_of(NUMBERS, st.fixed_dictionaries(
            {"load": st.one_of(NUMBERS, st.fixed_dictionaries({"processed": NUMBERS}))}))},
    ),
)  # fmt: skip
RUNS = st.builds(
    Ran,
    state=st.sampled_from([*WORDS, "DONE", "DONE", "DONE"]),
    before=st.one_of(
        st.integers(-86_400, 40 * 86_400),
        st.sampled_from([0, 1, 30 * 86_400, 30 * 86_400 + 1, 30 * 86_400 - 1]),
    ),
    took=st.one_of(st.none(), st.integers(-5, 100_000), st.integers(0, 3)),
    stats=st.lists(STATS, max_size=3).map(tuple),
)
FLOWS = st.lists(st.tuples(st.booleans(), st.lists(RUNS, max_size=12)), max_size=4)


@contextmanager
def undone() -> Iterator[None]:
    """Undo what the block writes."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def write(flows: Sequence[tuple[bool, list[Ran]]]) -> list[Flow]:
    """Write pipelines of two organizations and their runs."""
    teams = {True: Team.objects.create(code="ours"), False: Team.objects.create(code="theirs")}
    made = []
    for number, (ours, runs) in enumerate(flows):
        flow = Flow.objects.create(title=f"flow {number}", team=teams[ours])
        made.append(flow)
        for ran in runs:
            begun = at(ran.before)
            run = Execution.objects.create(
                flow=flow, state=ran.state, begun=begun,
                ended=None if ran.took is None else begun + timedelta(seconds=ran.took),
            )  # fmt: skip
            for stats in ran.stats:
                Job.objects.create(execution=run, stats=stats)
    Job.objects.create(execution=None, stats={"rows": 5})
    return made


def whole(value: object) -> int:
    """Return a number of rows; 0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    return int(value) if 0 <= value <= 10**12 and value == int(value) else 0


def rows_of(stats: Any) -> int:
    """Return the rows of a task run: at `rows` and at `steps.load.processed`."""
    found = 0
    for path in (("rows",), ("steps", "load", "processed")):
        here = stats
        for part in path:
            here = here.get(part) if isinstance(here, dict) else None
        found += whole(here)
    return found


def in_window(ran: Ran) -> bool:
    """Tell whether a run began in the window."""
    return 0 < ran.before <= MONTH.total_seconds()


def took_of(ran: Ran) -> float | None:
    """Return the duration that counts."""
    return ran.took if ran.state == "DONE" and ran.took is not None and ran.took >= 0 else None


def expected(flow: Flow, runs: list[Ran]) -> PipelineMetrics:
    """Compute the figures of a pipeline in plain Python."""
    seen = [ran for ran in runs if in_window(ran)]
    words = [WORDS[ran.state] for ran in seen]
    counts = {
        "successful_runs": words.count("success"),
        "failed_runs": words.count("failed") + words.count("lost"),
        "cancelled_runs": words.count("cancelled"),
    }
    ended = sum(counts.values())
    timed = [ran for ran in seen if took_of(ran) is not None]
    durations = [float(ran.took or 0) for ran in timed]
    rows = [sum(map(rows_of, ran.stats)) for ran in seen]
    timed_rows = sum(sum(map(rows_of, ran.stats)) for ran in timed)
    # Of two that began at the same time either is the last one: see `same`.
    last = min(runs, key=lambda ran: ran.before, default=None)
    return PipelineMetrics(
        pipeline_id=flow.pk,
        pipeline_name=flow.title,
        organization=flow.team.code,
        total_runs=len(seen),
        **counts,
        active_runs=words.count("pending") + words.count("running"),
        success_rate=counts["successful_runs"] / ended if ended else 0.0,
        average_duration=statistics.fmean(durations) if durations else 0.0,
        median_duration=statistics.median(durations) if durations else 0.0,
        p95_duration=_p95(durations),
        last_run_status=WORDS[last.state] if last else "never_run",
        last_run_time=at(last.before) if last else None,
        total_rows_processed=sum(rows),
        average_rows_per_second=timed_rows / sum(durations) if sum(durations) else 0.0,
    )


def _p95(durations: list[float]) -> float:
    """Return the percentile as Python's own statistics define it for a whole population."""
    if len(durations) < 2:
        return sum(durations)
    return statistics.quantiles(durations, n=100, method="inclusive")[94]


def assert_same(found: PipelineMetrics, wanted: PipelineMetrics, runs: list[Ran]) -> None:
    """Compare figures; of runs that began together any may be the last."""
    for name in PipelineMetrics.__slots__:
        one, other = getattr(found, name), getattr(wanted, name)
        if name == "last_run_status" and runs:
            first = min(ran.before for ran in runs)
            assert one in {WORDS[ran.state] for ran in runs if ran.before == first}
        elif isinstance(other, float):
            assert one == pytest.approx(other, rel=1e-9, abs=1e-9), name
        else:
            assert one == other, name


@ON_A_DATABASE
@given(flows=FLOWS)
def test_figures_are_those_of_plain_python(flows: list[tuple[bool, list[Ran]]]) -> None:
    """Any runs, any metrics, any window: every figure of every pipeline and of the system."""
    with undone():
        made = write(flows)
        found = pipeline_metrics(until=end())
        assert [one.pipeline_id for one in found] == [flow.pk for flow in made]
        for one, flow, (_, runs) in zip(found, made, flows, strict=True):
            assert_same(one, expected(flow, runs), runs)
        ours = Team.objects.filter(code="ours")
        mine = [one.pipeline_id for one in pipeline_metrics(organizations=ours, until=end())]
        assert mine == [flow.pk for flow, (own, _) in zip(made, flows, strict=True) if own]
        _assert_system(made, flows)


def _assert_system(made: list[Flow], flows: Sequence[tuple[bool, list[Ran]]]) -> None:
    """Compare the figures of the system."""
    seen = [[ran for ran in runs if in_window(ran)] for _, runs in flows]
    durations = [took for runs in seen for ran in runs if (took := took_of(ran)) is not None]
    volumes = [(flow.pk, flow.title, len(runs)) for flow, runs in zip(made, seen, strict=True)]
    found = system_metrics(until=end())
    assert found == SystemMetrics(
        total_pipelines=sum(bool(runs) for runs in seen),
        total_runs=sum(map(len, seen)),
        active_runs=sum(ran.state in {"QUEUED", "RUNNING"} for _, runs in flows for ran in runs),
        average_duration_seconds=pytest.approx(statistics.fmean(durations) if durations else 0.0),
        top_pipelines=tuple(
            PipelineVolume(*volume)
            for volume in sorted(volumes, key=lambda one: (-one[2], one[1]))
            if volume[2]
        ),
    )


@given(durations=st.lists(st.integers(0, 1000).map(float), min_size=2))
def test_percentile_is_the_inclusive_one(durations: list[float]) -> None:
    """The definition is that of Python's `statistics.quantiles(..., method="inclusive")`."""
    cut = statistics.quantiles(durations, n=100, method="inclusive")
    assert percentile(durations, 95) == pytest.approx(cut[94])
    assert percentile(durations, 50) == pytest.approx(statistics.median(durations))


def test_pipeline_that_never_ran() -> None:
    """Its name is its own, its status `never_run`, all else is zero."""
    flow = Flow.objects.create(title="new", team=Team.objects.create(code="ours"))
    (found,) = pipeline_metrics()
    assert astuple(found) == (
        flow.pk, "new", "ours", 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, "never_run", None, 0, 0.0,
    )  # fmt: skip
    assert system_metrics() == SystemMetrics(0, 0, 0, 0.0, ())


def test_last_run_may_lie_before_the_window() -> None:
    """A pipeline that stopped running did run."""
    write([(True, [Ran("TIMEOUT", 90 * 86_400, 5, ())])])
    (found,) = pipeline_metrics(until=end())
    assert (found.total_runs, found.last_run_status, found.last_run_time) == (
        0, "failed", at(90 * 86_400),
    )  # fmt: skip


def test_only_the_pipelines_asked_for() -> None:
    """By key or by instance; of an unknown one there is nothing."""
    made = write([(True, [Ran("DONE", 60, 5, ())]), (False, [Ran("DONE", 60, 7, ())])])
    (found,) = pipeline_metrics(pipelines=[made[1].pk], until=end())
    assert (found.pipeline_name, found.average_duration) == ("flow 1", 7.0)
    assert pipeline_metrics(pipelines=[-1], until=end()) == []
    assert system_metrics(organizations=[made[0].team], until=end()).total_runs == 1


def test_top_ten_by_number_of_runs() -> None:
    """Ten of twelve, the busiest first."""
    write([(True, [Ran("DONE", 60, 5, ())] * number) for number in range(1, 13)])
    top = system_metrics(until=end()).top_pipelines
    assert [(one.pipeline_name, one.total_runs) for one in top] == [
        (f"flow {number - 1}", number) for number in range(12, 2, -1)
    ]


def test_number_of_queries_does_not_depend_on_the_number_of_pipelines() -> None:
    """Three, or four where the database has no percentiles; two for the system."""
    for flows in (2, 40):
        with undone():
            write([(True, [Ran("DONE", 60, 5, ({"rows": 1},))] * 3)] * flows)
            with CaptureQueriesContext(connection) as captured:
                assert len(pipeline_metrics(until=end())) == flows
            assert len(captured) == (3 if connection.vendor == "postgresql" else 4)
            with CaptureQueriesContext(connection) as captured:
                assert system_metrics(until=end()).total_pipelines == flows
            assert len(captured) == 2


def test_end_of_the_window_in_another_time_zone() -> None:
    """A moment is a moment, whatever the clock that tells it."""
    write([(True, [Ran("DONE", 60, 5, ())])])
    zone = timezone.get_default_timezone()
    local = end() if settings.USE_TZ else end().replace(tzinfo=zone)
    before = pipeline_metrics(until=local.astimezone(ZoneInfo("Asia/Kathmandu")))
    after = pipeline_metrics(until=local.astimezone(UTC) - timedelta(seconds=60))
    assert [found[0].total_runs for found in (before, after)] == [1, 0]


def test_naive_end_of_the_window_is_local_time() -> None:
    """As Django reads naive times: in the project's time zone."""
    write([(True, [Ran("DONE", 60, 5, ())])])
    zone = timezone.get_default_timezone()
    naive = end().astimezone(zone).replace(tzinfo=None) if settings.USE_TZ else end()
    assert pipeline_metrics(until=naive)[0].total_runs == 1
    assert pipeline_metrics(until=naive - timedelta(seconds=60))[0].total_runs == 0


def test_any_window() -> None:
    """Its length is the caller's."""
    write([(True, [Ran("DONE", 3_600, 5, ()), Ran("DONE", 7_200, 9, ())])])
    (found,) = pipeline_metrics(window=timedelta(hours=1), until=end())
    assert (found.total_runs, found.median_duration) == (1, 5.0)
    with pytest.raises(ValueError, match=r"^window must be longer than nothing, got 0:00:00$"):
        pipeline_metrics(window=timedelta(0))
    with pytest.raises(ValueError, match=r"^window must be longer than nothing, got 0:00:00$"):
        system_metrics(window=timedelta(0))
