"""Every question of every dashboard has an answer in real backends, and it is what happened."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support import grafana, pictures, process
from support.grafana import Target
from support.stack import eventually
from support.stack.ask.grafana import STEP, Viewer

PIPELINE = "flights-9e-jfk"
"""The one that is looked at in detail: some of its rows are rejected, some skipped."""
CHOSEN = {"service": "etl-platform", "pipeline": ".*"}
NEAR = 0.1
"""`increase()` estimates up to the edges of the range."""
PICTURES = os.environ.get("ETL_DASHBOARD_PICTURES")
"""Folder for the pictures: `docs/how-to/pictures/dashboards` for those of the documentation."""

WHILE_BUSY = {
    "etl-overview/Active runs by pipeline",
    "etl-overview/Oldest active run",
    "etl-pipeline/Active run",
    "etl-pipeline/Progress of steps that run",
    "etl-pipeline/Sign of life",
    "etl-celery/Oldest message",
    "etl-celery/Consumers and unacknowledged messages",
    "etl-celery/Schedules",
}
"""Panels about what runs or waits: they are looked at while something does."""
AFTER_A_DROP = {"etl-health/Dropped", "etl-health/Of the telemetry itself"}
"""Panels about what the library dropped: the platform may drop nothing, so a script does."""
DROPS = """
import logging
from etl_telemetry import setup_telemetry
telemetry = setup_telemetry(instrumentations=())
logging.getLogger("report").warning("done", extra={"report": "x" * 1_000_000})
telemetry.force_flush(60)
telemetry.shutdown(60)
"""


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


@pytest.fixture(scope="module")
def busy(viewer: Viewer, proof: Any) -> Viewer:
    """Look while runs are active and messages wait; lines have a point at that very moment."""
    steps = (proof.busy - proof.begin) // STEP
    return dataclasses.replace(viewer, start=proof.busy - steps * STEP, end=proof.busy)


@pytest.fixture(scope="module")
def after_a_drop(viewer: Viewer, proof: Any) -> Viewer:
    """Look after a script of the same team has written a record that is too long."""
    stack = proof.stack
    quiet = {"OTEL_SERVICE_NAME": "report", "OTEL_TRACES_EXPORTER": "none"}
    done = process.run(DROPS, stack.collector.otlp_http, **quiet)
    assert done.returncode == 0, done.stderr
    stack.settle()
    told = {"term": {"event_name": "telemetry_dropped"}}
    eventually("it is told", lambda: stack.elasticsearch.ask.count("logs-*", told))
    eventually("it is counted", lambda: stack.prometheus.ask.query("telemetry_drops_total > 0"))
    return dataclasses.replace(viewer, end=time.time())


@pytest.fixture(scope="module")
def answers(
    proof: Any, viewer: Viewer, busy: Viewer, after_a_drop: Viewer
) -> Callable[[Target], Any]:
    """Answer each question at a time at which there is something to say."""

    def answer(target: Target) -> Any:
        panel = panel_of(target)
        if panel in WHILE_BUSY:
            return busy.choosing(pipeline=proof.held).answer(target)
        return ask(after_a_drop if panel in AFTER_A_DROP else viewer, target)

    return answer


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
def test_every_question_has_an_answer(answers: Callable[[Target], Any], target: Target) -> None:
    """Prometheus, Elasticsearch and Jaeger take the question and have something to say."""
    assert answers(target)


def test_panels_that_are_special_exist() -> None:
    """The lists of them have none that is gone."""
    assert {panel_of(target) for target in grafana.targets()} >= WHILE_BUSY | AFTER_A_DROP


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
def test_a_picture_can_be_drawn(answers: Callable[[Target], Any], uid: str, tmp_path: Path) -> None:
    """Those of the documentation are made here: `ETL_DASHBOARD_PICTURES` names their folder."""
    found = {
        (target.panel["id"], target.asked["refId"]): answers(target)
        for target in grafana.targets()
        if target.board == uid
    }
    path = Path(PICTURES or tmp_path) / f"{uid}.png"
    pictures.draw(grafana.boards()[uid], found, path)
    assert path.read_bytes().startswith(b"\x89PNG")
