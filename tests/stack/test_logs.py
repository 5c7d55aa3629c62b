"""Elasticsearch has the log records of every run by its trace id, and audit events apart."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

AIRPORTS = "airports-yv"
LOGS = "logs-*,-logs-etl.audit*"
"""All streams but the one of audit events."""
AUDIT = "logs-etl.audit.otel-default"
AUDIT_SCOPE = "etl_telemetry.audit"
TASK_ENDS = (
    "task_completed", "task_failed", "task_lost", "task_rejected", "task_retried", "task_revoked",
)  # fmt: skip


def _ask(proof: Any) -> Any:
    return proof.stack.elasticsearch.ask


def test_records_of_a_run_are_found_by_its_trace(proof: Any) -> None:
    """From begin to end, over all tasks; each within a span that Jaeger has."""
    run = proof.run_of(AIRPORTS)
    records = _ask(proof).documents(LOGS, {"term": {"trace_id": run["trace_id"]}})
    loggers = ("etl_telemetry.pipelines", "etl_telemetry.celery")
    ours = [r["body"]["text"] for r in records if r["scope"]["name"] in loggers]
    deliveries = [key for key in proof.tasks().elements() if key[0] == AIRPORTS]
    assert Counter(ours) == Counter(
        {
            "pipeline_run_started": 1,
            "pipeline_run_finished": 1,
            "task_started": len(deliveries),
            "task_completed": sum(status == "success" for *_, status in deliveries),
            "task_retried": sum(status == "retried" for *_, status in deliveries),
        }
    )
    assert ours[0] == "pipeline_run_started"
    spans = {span.span_id for span in proof.traces[run["trace_id"]]}
    assert {record["span_id"] for record in records} <= spans
    # A request to the platform's own API is in the trace, and knows of no run.
    others = [r for r in records if r["attributes"].get("pipeline.run.id") != run["id"]]
    assert {r["scope"]["name"] for r in others} <= {"etl_telemetry.django", "django.request"}


def test_every_run_has_records_in_its_trace(proof: Any) -> None:
    """Each run logged its begin and its end under the trace id that the ledger has."""
    for event in ("pipeline_run_started", "pipeline_run_finished"):
        query = {"bool": {"filter": [{"term": {"event_name": event}}]}}
        found = _ask(proof).terms(LOGS, "trace_id", query)
        assert found == {run["trace_id"]: 1 for run in proof.runs}, event


def test_deliveries_ended_with_the_records_of_the_ledger(proof: Any) -> None:
    """One record for each delivery says how it ended."""
    records = _ask(proof).documents(LOGS, {"terms": {"event_name": TASK_ENDS}})
    found = Counter((r["attributes"]["task.type"], r["attributes"]["task.status"]) for r in records)
    expected: Counter[tuple[str, str]] = Counter()
    for (_, type_, status), number in proof.tasks().items():
        expected[type_, status] += number
    assert found == expected


@pytest.mark.parametrize("kind", ["read", "processed", "rejected", "skipped"])
def test_numbers_are_numbers(proof: Any, kind: str) -> None:
    """Elasticsearch adds the rows in the records up to those of the ledger, step by step."""
    total = {"rows": {"sum": {"field": f"attributes.{kind}"}}}
    steps = {"steps": {"terms": {"field": "attributes.step.type", "size": 100}, "aggs": total}}
    pipelines = {"field": "attributes.pipeline.name", "size": 1000}
    found = _ask(proof).search(
        LOGS,
        size=0,
        query={"term": {"scope.name": "apps.pipelines.steps"}},
        aggs={"pipelines": {"terms": pipelines, "aggs": steps}},
    )
    added = {
        (pipeline["key"], step["key"]): step["rows"]["value"]
        for pipeline in found["aggregations"]["pipelines"]["buckets"]
        for step in pipeline["steps"]["buckets"]
    }
    assert added == {
        (pipeline, step): counts[kind]
        for pipeline, steps in proof.ledger["rows"].items()
        for step, counts in steps.items()
    }


def test_fields_have_the_designed_types(proof: Any) -> None:
    """Times are dates, numbers are numbers, names are keywords that can be grouped by."""
    stream = next(s for s in _ask(proof).data_streams() if s.startswith("logs-generic."))
    mapping = _ask(proof).mapping(stream)
    attributes = mapping["attributes"]["properties"]
    assert mapping["@timestamp"]["type"] == "date_nanos"
    fields = {
        "pipeline.name": "keyword",
        "pipeline.run.id": "keyword",
        "task.duration": "double",
        "duration": "double",
        "task.status": "keyword",
        "read": "long",
        "worker_pid": "long",
        "code.line.number": "long",
        "exception.type": "keyword",
    }
    assert {name: attributes[name]["type"] for name in fields} == fields
    assert {name: mapping[name]["type"] for name in ("trace_id", "span_id", "severity_text")} == (
        dict.fromkeys(("trace_id", "span_id", "severity_text"), "keyword")
    )


def test_errors_are_found_with_their_exception(proof: Any) -> None:
    """The failed run is found by severity, with type, message and traceback, in its trace."""
    (failed,) = (run for run in proof.runs if run["status"] == "failed")
    query = {
        "bool": {
            "filter": [
                {"range": {"severity_number": {"gte": 17}}},
                {"term": {"trace_id": failed["trace_id"]}},
                {"term": {"scope.name": "celery.app.trace"}},
            ]
        }
    }
    (record,) = _ask(proof).documents(LOGS, query)
    attributes = record["attributes"]
    assert record["severity_text"] == "ERROR"
    assert attributes["exception.type"] == "nyc.schema.SchemaError"
    assert attributes["exception.message"] in failed["error"]
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):\n")


def test_audit_events_are_in_a_stream_of_their_own(proof: Any) -> None:
    """Each run of the ledger began once and ended once there, as in the file of the platform."""
    records = _ask(proof).documents(AUDIT)
    found = Counter((r["body"]["text"], r["attributes"]["audit.resource.id"]) for r in records)
    events = ("pipeline_execution_started", "pipeline_execution_finished")
    of_runs = {key: number for key, number in found.items() if key[0] in events}
    assert of_runs == {(event, run["id"]): 1 for event in events for run in proof.runs}
    # What the drainer got no answer for it has written again, under the same id.
    told = {e["log.record.uid"]: e for e in proof.audit_file}
    assert found == Counter((e["message"], e["audit.resource.id"]) for e in told.values())


def test_audit_event_is_whole(proof: Any) -> None:
    """Who, for whom, on what, how it ended, and the trace: searchable in the stream."""
    run = proof.run_of("fleet-aa")
    query = {
        "bool": {
            "filter": [
                {"term": {"attributes.audit.resource.id": run["id"]}},
                {"term": {"attributes.audit.outcome": "failure"}},
            ]
        }
    }
    (record,) = _ask(proof).documents(AUDIT, query)
    told = {k: v for k, v in record["attributes"].items() if k.startswith("audit.")}
    details = told.pop("audit.details")
    assert told == {
        "audit.actor": "1",
        "audit.organization": "AA",
        "audit.outcome": "failure",
        "audit.resource.id": run["id"],
        "audit.resource.type": "pipeline_run",
    }
    assert (details["status"], details["pipeline_name"]) == ("failed", "fleet-aa")
    assert record["trace_id"] == run["trace_id"]


def test_streams_do_not_mix(proof: Any) -> None:
    """No audit event is in the general stream, and nothing else is in theirs."""
    assert _ask(proof).count(LOGS, {"term": {"scope.name": AUDIT_SCOPE}}) == 0
    assert set(_ask(proof).terms(AUDIT, "scope.name")) == {AUDIT_SCOPE}


def test_no_record_is_missing(proof: Any) -> None:
    """Elasticsearch has as many documents as the Collector has taken records, repeats apart."""
    metric = "otelcol_receiver_accepted_log_records"
    accepted = proof.stack.collector.ask.values(metric, "transport")
    repeats = len(proof.audit_file) - len({e["log.record.uid"] for e in proof.audit_file})
    assert _ask(proof).count("logs-*") == sum(accepted.values()) - repeats
