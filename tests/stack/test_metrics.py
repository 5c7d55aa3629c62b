"""Prometheus has the catalogue's metrics under the designed names, equal to the ledger."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from etl_telemetry.catalogue import METRICS, Metric
from support.stack import eventually

JOB = "etl-platform"
WRITER = {"job", "instance", "deployment_environment_name"}
"""Labels by which every series names the process that wrote it."""
BY_OTHERS = "traces_span_metrics_.*|ALERTS.*"
"""Series of the Collector (of spans) and of Prometheus (its alerts, whenever one is pending)."""
LEDGER, OBSERVER = "ledger", "observer"
"""`instance` of the one process that counts runs, and of the one that reads shared state."""
ONE_WRITER = {
    "pipeline_executions_total": LEDGER,
    "pipeline_execution_duration_seconds_count": LEDGER,
    "active_pipeline_runs": OBSERVER,
    "pipeline_active_run_age_seconds": OBSERVER,
    "pipeline_last_success_timestamp_seconds": OBSERVER,
    "database_connections_active": OBSERVER,
    "database_server_connections": OBSERVER,
    "celery_queue_size": OBSERVER,
    "celery_queue_consumers": OBSERVER,
    "celery_worker_up": OBSERVER,
    "celery_beat_next_due_timestamp_seconds": OBSERVER,
    "audit_events_waiting": OBSERVER,
}
SILENT = {"telemetry.drops"}
"""Metrics that must not be there: nothing was dropped."""
RECORDED = {
    "etl_platform_info:minutes:count",
    "http_requests_total",
    *(f"http_request_duration_seconds_{p}" for p in ("bucket", "count", "sum")),
}
"""What Prometheus records by our rules and names the job: minutes, former names of requests."""
SERVERS_AND_CLIENTS = {
    "http_server_request_duration_seconds",
    "http_client_request_duration_seconds",
    "db_client_operation_duration_seconds",
    "db_client_response_returned_rows",
}
"""Histograms of the instrumentations, by their names in Prometheus."""


def _series(metric: Metric) -> set[str]:
    if metric.kind == "histogram":
        return _histogram(metric.prometheus)
    return {metric.prometheus}


def _histogram(name: str) -> set[str]:
    return {f"{name}_{part}" for part in ("bucket", "count", "sum")}


def _ever(proof: Any, what: str, series: str) -> str:
    """Return the `last` or `max` value that a series had while the platform ran."""
    return f"{what}_over_time({series}[{int(proof.end - proof.begin) + 60}s])"


def _runs(proof: Any) -> Counter[tuple[str, ...]]:
    return Counter((run["pipeline"], run["organization"], run["status"]) for run in proof.runs)


def test_ledger_is_worth_comparing(proof: Any) -> None:
    """Every pipeline ran; runs and tasks ended in every way that a person can bring about."""
    assert set(proof.ledger["unfinished"].values()) == {0}
    assert len(proof.ledger["runs"]) == 71
    assert {status for _, _, status in _runs(proof)} == {"success", "failed", "cancelled"}
    assert {status for _, _, status in proof.tasks()} == {
        "success", "failed", "retried", "revoked", "lost",
    }  # fmt: skip
    assert {run["trigger"] for run in proof.runs} == {"manual", "command", "schedule"}


def test_metrics_have_exactly_the_designed_names(proof: Any) -> None:
    """The platform's series are those of the catalogue and of the instrumentations, no other."""
    ours = set().union(*(_series(m) for m in METRICS.values() if m.name not in SILENT))
    theirs = set().union(*map(_histogram, SERVERS_AND_CLIENTS))
    names = proof.stack.prometheus.ask.names(f'{{job="{JOB}",__name__!~"{BY_OTHERS}"}}')
    assert names == {*ours, *theirs, *RECORDED, "target_info"}


@pytest.mark.parametrize(
    "metric", [m for m in METRICS.values() if m.name not in SILENT], ids=lambda m: m.name
)
def test_series_have_exactly_the_designed_labels(proof: Any, metric: Metric) -> None:
    """Besides its writer a series has the labels of the catalogue, and a bucket `le`.

    Also a series that has ended: of a step, of an active run, of a message that waits.
    """
    designed = {label.replace(".", "_") for label in metric.attributes} | WRITER
    optional = {label.replace(".", "_") for label in metric.optional}
    for name in _series(metric):
        labels = designed | {"le"} if name.endswith("_bucket") else designed
        samples = proof.stack.prometheus.ask.query(_ever(proof, "last", name), at=proof.end)
        found = {frozenset(labels - set(sample.labels)) for sample in samples}
        assert all(missing <= optional for missing in found), name
        assert samples
        assert set().union(*(sample.labels for sample in samples)) <= labels, name


@pytest.mark.parametrize(
    "metric", [m for m in METRICS.values() if m.kind == "histogram"], ids=lambda m: m.name
)
def test_histograms_have_the_designed_buckets(proof: Any, metric: Metric) -> None:
    """The upper bounds of the buckets are those of the catalogue, and infinity."""
    samples = proof.stack.prometheus.ask.query(f"{metric.prometheus}_bucket", at=proof.end)
    bounds = {float(sample.labels["le"]) for sample in samples}
    assert bounds == {*(metric.buckets or ()), float("inf")}


def test_runs_equal_the_ledger(proof: Any) -> None:
    """Each run counts once, under its pipeline, organization and status."""
    counted = proof.metric("pipeline_executions_total", "pipeline_name", "organization", "status")
    assert counted == _runs(proof)


def test_run_durations_equal_the_ledger(proof: Any) -> None:
    """Each run was timed once, with the time that its row has, whatever its status."""
    labels = ("pipeline_name", "organization", "status")
    assert proof.metric("pipeline_execution_duration_seconds_count", *labels) == _runs(proof)
    seconds: Counter[tuple[str, ...]] = Counter()
    for run in proof.runs:
        seconds[run["pipeline"], run["organization"], run["status"]] += run["seconds"]
    assert proof.metric("pipeline_execution_duration_seconds_sum", *labels) == pytest.approx(
        seconds, abs=1e-6
    )


def test_task_deliveries_equal_the_ledger(proof: Any) -> None:
    """Each delivery counts once, over all processes of the worker."""
    labels = ("pipeline_name", "task_type", "status")
    expression = f"sum by ({', '.join(labels)}) (task_executions_total)"
    assert proof.metric(expression, *labels) == proof.tasks()


def test_task_durations_equal_the_ledger(proof: Any) -> None:
    """Each delivery that ran was timed once; a revoked one was not timed by its worker."""
    ran: Counter[tuple[str, ...]] = Counter()
    for (_, type_, status), number in proof.tasks().items():
        if status != "revoked":
            ran[type_, status] += number
    expression = "sum by (task_type, status) (task_execution_duration_seconds_count)"
    assert proof.metric(expression, "task_type", "status") == ran


@pytest.mark.parametrize("kind", ["read", "processed", "rejected", "skipped"])
def test_rows_equal_the_ledger(proof: Any, kind: str) -> None:
    """The rows of each step are those that the tables of the platform have."""
    rows = {
        (pipeline, step): float(counts[kind])
        for pipeline, steps in proof.ledger["rows"].items()
        for step, counts in steps.items()
        if counts[kind]
    }
    expression = f"sum by (pipeline_name, step_type) (data_rows_{kind}_total)"
    assert proof.metric(expression, "pipeline_name", "step_type") == rows


def test_connector_operations_are_counted_and_timed(proof: Any) -> None:
    """Files, SQL and HTTP: every kind of operation, each counted and timed; each 429 an error."""
    labels = ("connector_type", "operation", "status")
    by = f"sum by ({', '.join(labels)})"
    counted = proof.metric(f"{by} (connector_operations_total)", *labels)
    assert set(counted) == {
        ("file", "read", "success"),
        ("file", "read", "error"),
        ("http", "get_page", "success"),
        ("http", "get_page", "error"),
        ("http", "sign_in", "success"),
        ("sql", "copy", "success"),
        ("sql", "select", "success"),
    }
    retried = sum(n for (_, _, status), n in proof.tasks().items() if status == "retried")
    assert counted["http", "get_page", "error"] == retried
    assert proof.metric(f"{by} (connector_operation_duration_seconds_count)", *labels) == counted


def test_gauges_tell_the_shared_state(proof: Any) -> None:
    """Runs and messages were under way, none is left; the database has its connections."""
    ask = proof.stack.prometheus.ask
    assert ask.values("active_pipeline_runs", at=proof.end) == {(): 0}
    assert ask.values("database_connections_active", at=proof.end)[()] >= 1
    assert ask.values("celery_queue_size", "queue_name", at=proof.end) == {("celery",): 0}
    for name in (
        "active_pipeline_runs",
        "celery_queue_size",
        "celery_queue_oldest_message_age_seconds",
    ):
        ((_, most),) = ask.values(_ever(proof, "max", name), at=proof.end).items()
        assert most > 1, name
    up = ask.values(_ever(proof, "max", "celery_worker_up"), "worker_name", at=proof.end)
    assert set(up.values()) == {1}
    consumers = _ever(proof, "max", "celery_queue_consumers")
    assert ask.values(consumers, "queue_name", at=proof.end) == {("celery",): len(up)}


def test_long_step_was_seen_while_it_ran(proof: Any) -> None:
    """The source of one airport's weather is read gently: rows done, rows expected, and a pulse."""
    ask, labels = proof.stack.prometheus.ask, "pipeline_name"
    # Its hour may have come, too; each run reads the same.
    runs = sum(run["pipeline"] == "weather-jfk" for run in proof.runs)
    read = proof.ledger["rows"]["weather-jfk"]["extract"]["read"] / runs
    step = '{pipeline_name="weather-jfk",step_type="extract"}'
    expected = _ever(proof, "max", f"step_rows_expected{step}")
    assert ask.values(expected, labels, at=proof.end) == {("weather-jfk",): read}
    done = ask.values(_ever(proof, "max", f"step_rows_done{step}"), labels, at=proof.end)
    assert 0 < done["weather-jfk",] <= read
    age = _ever(proof, "max", f"step_heartbeat_age_seconds{step}")
    assert set(ask.values(age, labels, at=proof.end)) == {("weather-jfk",)}


def test_last_success_is_that_of_the_ledger(proof: Any) -> None:
    """The time of the last success of each pipeline is in its row."""
    last: dict[tuple[str, str], float] = {}
    for run in proof.runs:
        if run["status"] == "success":
            key = (run["pipeline"], run["organization"])
            finished = datetime.fromisoformat(run["finished_at"]).timestamp()
            last[key] = max(last.get(key, 0.0), finished)
    told = proof.metric("pipeline_last_success_timestamp_seconds", "pipeline_name", "organization")
    assert told == pytest.approx(last, abs=1e-3)


def test_platform_tells_what_runs(proof: Any) -> None:
    """Every process says version, environment and build date."""
    samples = proof.stack.prometheus.ask.query("etl_platform_info", at=proof.end)
    assert {sample.value for sample in samples} == {1}
    assert {
        (s.labels["version"], s.labels["environment"], s.labels["build_date"]) for s in samples
    } == {("2.1.0", "production", "2026-11-25")}


def test_series_name_their_job_and_their_instance(proof: Any) -> None:
    """`job` is the service; `instance` the process: one for runs and gauges, else its own id."""
    ask = proof.stack.prometheus.ask
    ever = {
        name: _ever(proof, "last", f'{name}{{instance!=""}}')
        for name in (*ONE_WRITER, "task_executions_total", "target_info")
    }
    instances = {
        name: {s.labels["instance"] for s in ask.query(expression, at=proof.end)}
        for name, expression in ever.items()
    }
    assert {name: instances[name] for name in ONE_WRITER} == {
        name: {writer} for name, writer in ONE_WRITER.items()
    }
    assert instances["task_executions_total"].isdisjoint({LEDGER, OBSERVER})
    assert instances["task_executions_total"] < instances["target_info"]
    tasks = ask.query("task_executions_total", at=proof.end)
    assert {(s.labels["job"], s.labels["deployment_environment_name"]) for s in tasks} == {
        (JOB, "production")
    }


@pytest.mark.parametrize(
    "name",
    [
        "pipeline_executions_total",
        "pipeline_execution_duration_seconds_bucket",
        "task_execution_duration_seconds_bucket",
        "connector_operation_duration_seconds_bucket",
        "data_rows_processed_total",
        "http_server_request_duration_seconds_bucket",
    ],
)
def test_exemplars_lead_to_traces(proof: Any, name: str) -> None:
    """The trace and the span that an exemplar names are in Jaeger."""
    ask = proof.stack.prometheus.ask
    found = ask.exemplars(f'{name}{{job="{JOB}"}}', start=proof.begin, end=proof.end)
    assert found
    spans = {(s.trace_id, s.span_id) for spans in proof.traces.values() for s in spans}
    assert {(e.labels["trace_id"], e.labels["span_id"]) for e in found} <= spans


def test_exemplar_of_a_run_leads_to_a_run_of_that_pipeline(proof: Any) -> None:
    """The exemplar of a failed run is the root span of a failed run of the same pipeline."""
    found = proof.stack.prometheus.ask.exemplars(
        'pipeline_executions_total{status="failed"}', start=proof.begin, end=proof.end
    )
    assert found
    for exemplar in found:
        run = proof.run_of(exemplar.series["pipeline_name"])
        root = proof.root_of(run)
        assert run["status"] == "failed"
        assert exemplar.labels == {"trace_id": run["trace_id"], "span_id": root.span_id}


def test_span_metrics_count_every_span(proof: Any) -> None:
    """The Collector counts the spans by name before anything could sample them."""
    spans = Counter((span.name,) for found in proof.traces.values() for span in found)
    expression = "sum by (span_name) (traces_span_metrics_calls_total)"

    def counted() -> bool:  # It hands its counts on every 15 s.
        return bool(proof.stack.prometheus.ask.values(expression, "span_name") == spans)

    eventually("The span metrics arrive", counted)
