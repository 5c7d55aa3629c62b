"""Every question of every dashboard has an answer in real backends, and it is what happened."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support import grafana, pictures
from support.grafana import Target
from support.stack import eventually
from support.stack.ask.grafana import Viewer

PIPELINE = "flights-9e-jfk"
"""The one that is looked at in detail: some of its rows are rejected, some skipped."""
CHOSEN = {"service": "etl-platform", "pipeline": ".*"}
NEAR = 0.1
"""`increase()` estimates up to the edges of the range."""
PICTURES = os.environ.get("ETL_DASHBOARD_PICTURES")
"""Folder for the pictures: `docs/how-to/pictures/dashboards` for those of the documentation."""

_QUIET = "nothing of this kind happened"
_SHORT = "runs and steps are short: a question every 15 s may find none"
_NO_POOL = "the platform has no pool"
EMPTY = {
    "etl-overview/Active runs by pipeline": "at the end every run has ended",
    "etl-pipeline/Active run": _SHORT,
    "etl-pipeline/Progress of steps that run": _SHORT,
    "etl-pipeline/Sign of life": _SHORT,
    "etl-celery/Oldest message": "messages wait only while the workers are busy",
    "etl-celery/Consumers and unacknowledged messages": "a Redis broker knows no consumers",
    "etl-celery/Schedules": "at the end every schedule is disabled",
    "etl-django/Failed requests": _QUIET,
    "etl-django/Too many queries": "a request whose statements differ has no row here",
    "etl-django/Connection pools": _NO_POOL,
    "etl-database/Connection pools": _NO_POOL,
    "etl-health/Dropped": _QUIET,
    "etl-health/Lost": _QUIET,
    "etl-health/Of the telemetry itself": _QUIET,
}
"""Panels that may be empty, and why."""


def panel_of(target: Target) -> str:
    """Return dashboard and title."""
    return f"{target.board}/{target.panel['title']}"


@pytest.fixture(scope="module")
def viewer(proof: Any) -> Viewer:
    """Look at everything that happened, with all chosen that can be."""
    stack = proof.stack

    def scraped() -> bool:
        return bool(stack.prometheus.ask.query("rate(otelcol_exporter_sent_spans[4m])"))

    eventually("Prometheus has scraped the Collector twice", scraped)
    return Viewer(
        stack.prometheus.ask, stack.elasticsearch.ask, stack.jaeger.address("query"),
        proof.begin, proof.end, CHOSEN,
    )  # fmt: skip


def ask(viewer: Viewer, target: Target) -> Any:
    """Ask a question; the dashboard of one pipeline is about one."""
    if target.board != "etl-pipeline":
        return viewer.answer(target)
    return viewer.choosing(pipeline=PIPELINE).answer(target)


def values(viewer: Viewer, panel: str, letter: str = "A", *labels: str) -> Counter[Any]:
    """Return the last values of a panel's question by these labels."""
    (target,) = (
        each for each in grafana.targets("prometheus")
        if panel_of(each) == panel and each.asked["refId"] == letter
    )  # fmt: skip
    return Counter(
        {
            tuple(own[label] for label in labels): points[-1][1]
            for own, points in ask(viewer, target)
        }
    )


def rows(viewer: Viewer, panel: str) -> list[dict[str, Any]]:
    """Return what a panel of records or traces has."""
    (target,) = (each for each in grafana.targets() if panel_of(each) == panel)
    return list(ask(viewer, target))


@pytest.mark.parametrize("target", grafana.targets(), ids=str)
def test_every_question_has_an_answer(viewer: Viewer, target: Target) -> None:
    """Prometheus, Elasticsearch and Jaeger take the question and have something to say."""
    answer = ask(viewer, target)
    if panel_of(target) not in EMPTY:
        assert answer


def test_panels_that_may_be_empty_exist() -> None:
    """The list of them has none that is gone."""
    assert {panel_of(target) for target in grafana.targets()} >= EMPTY.keys()


@pytest.mark.parametrize(
    ("uid", "variable"),
    [pytest.param(uid, v, id=f"{uid}/{v['name']}") for uid, v in grafana.variables()],
)
def test_every_variable_has_values(viewer: Viewer, uid: str, variable: dict[str, Any]) -> None:
    """Something can be chosen."""
    assert viewer.values(variable)


# --- Values, against the ledger --------------------------------------------


def statuses(proof: Any, **wanted: str) -> Counter[Any]:
    """Return the ledger's runs by status."""
    return Counter(
        (run["status"],) for run in proof.runs if wanted.items() <= run.items()
    )  # fmt: skip


def test_success_rate_is_that_of_the_ledger(viewer: Viewer, proof: Any) -> None:
    """Successes through all runs, over pipelines and statuses: not 100 %."""
    runs = statuses(proof)
    expected = runs[("success",)] / runs.total()
    assert expected < 1
    shown = values(viewer, "etl-overview/Pipeline success rate")
    assert shown == {(): pytest.approx(expected, rel=0.05)}


def test_success_rate_of_one_organization_is_its_own(viewer: Viewer, proof: Any) -> None:
    """What is chosen counts, and nothing else."""
    for organization in {run["organization"] for run in proof.runs}:
        runs = statuses(proof, organization=organization)
        own = viewer.choosing(organization=organization, environment="production")
        shown = values(own, "etl-overview/Pipeline success rate")
        expected = runs[("success",)] / runs.total()
        assert shown == {(): pytest.approx(expected, rel=0.05)}, organization


def test_a_pipeline_that_never_succeeded_is_at_zero(viewer: Viewer, proof: Any) -> None:
    """It has no series of successes, and is not without a rate."""
    succeeded = {run["pipeline"] for run in proof.runs if run["status"] == "success"}
    never = sorted({run["pipeline"] for run in proof.runs} - succeeded)
    assert never
    shown = values(viewer.choosing(pipeline=never[0]), "etl-overview/Pipeline success rate")
    assert shown == {(): 0}


def test_without_runs_there_is_no_success_rate(viewer: Viewer) -> None:
    """An environment in which nothing ran has an empty answer, not 100 %."""
    nowhere = viewer.choosing(environment="nowhere")
    assert not values(nowhere, "etl-overview/Pipeline success rate")
    assert not values(nowhere, "etl-slo/Runs that succeeded")


def test_runs_by_status_are_those_of_the_ledger(viewer: Viewer, proof: Any) -> None:
    """On the overview all, on the pipeline's dashboard its own."""
    shown = values(viewer, "etl-overview/Runs that ended", "A", "status")
    assert +shown == pytest.approx(statuses(proof), rel=NEAR, abs=1)
    shown = values(viewer, "etl-pipeline/Runs that ended", "A", "status")
    assert +shown == pytest.approx(statuses(proof, pipeline=PIPELINE), rel=NEAR, abs=1)


def test_failed_runs_are_those_of_the_ledger(viewer: Viewer, proof: Any) -> None:
    """By pipeline in Prometheus, by error and one by one in Elasticsearch."""
    failed = Counter(
        (run["pipeline"],) for run in proof.runs if run["status"] in {"failed", "lost"}
    )
    top = values(viewer, "etl-overview/Top failures", "A", "pipeline_name")
    assert top == pytest.approx(failed, abs=0.5)
    by_error = rows(viewer, "etl-overview/Why runs fail")
    assert sum(row["Count"] for row in by_error) == statuses(proof)[("failed",)]
    latest = rows(viewer, "etl-overview/Latest failed runs")
    assert Counter(each["attributes"]["pipeline.name"] for each in latest) == Counter(
        run["pipeline"] for run in proof.runs if run["status"] != "success"
    )


def test_rows_are_those_of_the_ledger(viewer: Viewer, proof: Any) -> None:
    """Rows of each step by what became of them, and none is unaccounted for."""
    steps = proof.ledger["rows"][PIPELINE]
    for letter, kind in zip("ABCD", ("read", "processed", "rejected", "skipped"), strict=True):
        shown = +values(viewer, "etl-pipeline/Rows", letter, "step_type")
        expected = {(step,): counts[kind] for step, counts in steps.items() if counts[kind]}
        assert shown == pytest.approx(expected, rel=NEAR), kind
    assert not +values(viewer, "etl-pipeline/Rows unaccounted for", "A", "step_type")


def test_deliveries_are_those_of_the_ledger(viewer: Viewer, proof: Any) -> None:
    """By status, over all types and pipelines."""
    expected: Counter[Any] = Counter()
    for (_, _, status), number in proof.tasks().items():
        expected[(status,)] += number
    shown = values(viewer, "etl-celery/Deliveries by status", "A", "status")
    assert +shown == pytest.approx(expected, rel=NEAR, abs=1)


def test_freshness_is_that_of_the_ledger(viewer: Viewer, proof: Any) -> None:
    """The age of the last success of each pipeline; the oldest are shown."""
    last: dict[tuple[str, ...], float] = {}
    for run in proof.runs:
        if run["status"] == "success":
            at = datetime.fromisoformat(run["finished_at"]).timestamp()
            key = (run["pipeline"], run["organization"])
            last[key] = max(at, last.get(key, 0.0))
    ages = {key: proof.end - at for key, at in last.items()}
    shown = values(viewer, "etl-overview/Freshness", "A", "pipeline_name", "organization")
    oldest = sorted(ages.values(), reverse=True)[:20]
    assert sorted(shown.values(), reverse=True) == pytest.approx(oldest, abs=0.01)
    assert all(ages[key] == pytest.approx(age, abs=0.01) for key, age in shown.items())


def test_slo_leaves_cancelled_runs_out(viewer: Viewer, proof: Any) -> None:
    """Runs that neither failed nor were lost, of all but the cancelled ones."""
    runs = statuses(proof)
    counted = runs.total() - runs[("cancelled",)]
    bad = (runs[("failed",)] + runs[("lost",)]) / counted
    assert values(viewer, "etl-slo/Runs that succeeded") == {
        (): pytest.approx(1 - bad, rel=0.05)
    }  # fmt: skip
    assert values(viewer, "etl-slo/Error budget left") == {
        (): pytest.approx(1 - bad / 0.01, rel=0.2)
    }
    assert values(viewer, "etl-slo/Runs counted") == {(): pytest.approx(counted, rel=NEAR)}


def test_traces_of_a_pipeline_are_its_runs(viewer: Viewer, proof: Any) -> None:
    """Jaeger's search by tag and name finds each run of the pipeline and no other."""
    found = {trace["traceID"] for trace in rows(viewer, "etl-pipeline/Traces of runs")}
    assert found == {run["trace_id"] for run in proof.runs if run["pipeline"] == PIPELINE}


def test_records_lead_to_traces(viewer: Viewer, proof: Any) -> None:
    """The `trace_id` of each record of a pipeline is a trace of Jaeger's."""
    records = rows(viewer, "etl-pipeline/Records")
    ids = {record["trace_id"] for record in records if "trace_id" in record}
    assert ids
    assert ids <= set(proof.traces)


# --- Pictures --------------------------------------------------------------


@pytest.mark.parametrize("uid", grafana.boards())
def test_a_picture_can_be_drawn(viewer: Viewer, uid: str, tmp_path: Path) -> None:
    """Those of the documentation are made here: `ETL_DASHBOARD_PICTURES` names their folder."""
    answers = {
        (target.panel["id"], target.asked["refId"]): ask(viewer, target)
        for target in grafana.targets()
        if target.board == uid
    }
    path = Path(PICTURES or tmp_path) / f"{uid}.png"
    pictures.draw(grafana.boards()[uid], answers, path)
    assert path.read_bytes().startswith(b"\x89PNG")
