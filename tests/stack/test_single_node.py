"""What the default configuration does to what passes: ids, audit apart, masks, span metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from support.stack import Stack, eventually
from support.stack.ask import http

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRETS = (
    "card 4111 1111 1111 1111 of ann@example.com",
    "Authorization: Bearer abcdefghijklmnop.qrstuvwxyz",
    "postgresql://etl:hunter22@db.example.com/etl",
    "password=hunter2222 api_key: abcd1234",
)


def attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP's JSON writes them."""
    return [{"key": key, "value": value(each)} for key, each in values.items()]


def value(each: Any) -> dict[str, Any]:
    """Return a value as OTLP's JSON writes it."""
    if isinstance(each, dict):
        return {"kvlistValue": {"values": attributes(each)}}
    return {{str: "stringValue", int: "intValue", float: "doubleValue"}[type(each)]: each}


def record(body: str, severity: int = 9, **own: Any) -> dict[str, Any]:
    """Return a log record."""
    return {
        "timeUnixNano": str(time.time_ns()),
        "severityNumber": severity,
        "body": value(body),
        "traceId": TRACE,
        "attributes": attributes(own),
    }


def logs(scope: str, *records: dict[str, Any]) -> dict[str, Any]:
    """Return a request with records of one logger."""
    scopes = [{"scope": {"name": scope}, "logRecords": list(records)}]
    return {"resourceLogs": [{"resource": resource("one"), "scopeLogs": scopes}]}


def resource(instance: str) -> dict[str, Any]:
    """Return what a process says about itself."""
    return {"attributes": attributes({"service.name": "shop", "service.instance.id": instance})}


def span(instance: str, name: str = "GET /orders") -> dict[str, Any]:
    """Return a request with one span of half a second, which had a customer's address on it."""
    now = time.time_ns()
    one = {
        "traceId": TRACE,
        "spanId": f"{abs(hash(instance)):016x}"[:16],
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(now - 500_000_000),
        "endTimeUnixNano": str(now),
        "attributes": attributes({"customer": "ann@example.com"}),
    }
    scopes = [{"scope": {"name": "app"}, "spans": [one]}]
    return {"resourceSpans": [{"resource": resource(instance), "scopeSpans": scopes}]}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the default configuration with its backends."""
    with Stack(tmp_path_factory.mktemp("single-node")) as started:
        yield started


@pytest.fixture
def clean(stack: Stack) -> Stack:
    """Return the stack, with no record in Elasticsearch."""
    stack.elasticsearch.ask.delete_data_streams("logs-*")
    return stack


def send(stack: Stack, signal: str, body: dict[str, Any]) -> None:
    """Send, and wait until it has gone on."""
    http.send("POST", f"{stack.collector.otlp_http}/v1/{signal}", body)
    stack.settle()


def hits(stack: Stack, index: str) -> list[dict[str, Any]]:
    """Return the hits of an index, as soon as there are any."""
    ask = stack.elasticsearch.ask
    eventually("records arrive", lambda: ask.count(index))
    found: list[dict[str, Any]] = ask.search(index, size=100)["hits"]["hits"]
    return found


def test_two_equal_records_stay_two_and_each_has_an_id_of_its_own(clean: Stack) -> None:
    """The id is made for each record that comes in, so only a repetition is the same document."""
    twice = record("same")
    send(clean, "logs", logs("app", twice, twice))
    found = hits(clean, "logs-generic.otel-default")
    assert [hit["_source"]["body"]["text"] for hit in found] == ["same", "same"]
    assert len({hit["_id"] for hit in found}) == 2
    assert [hit["_source"]["attributes"] for hit in found] == [{}, {}]


@pytest.mark.parametrize("key", ["elasticsearch.document_id", "log.record.uid"])
def test_id_that_the_sender_gave_makes_a_repetition_harmless(key: str, clean: Stack) -> None:
    """An agent or an application has given ids: what it sends twice is one document."""
    one = record("sent twice", **{key: "id-of-the-sender"})
    for _ in range(2):
        send(clean, "logs", logs("app", one))
    send(clean, "logs", logs("app", record("afterwards")))
    eventually("the last one arrives", lambda: clean.elasticsearch.ask.count("logs-*") > 1)
    found = [hit["_source"]["body"]["text"] for hit in hits(clean, "logs-generic.otel-default")]
    assert sorted(found) == ["afterwards", "sent twice"]
    assert "error" not in clean.collector.log.read_text()


def test_audit_records_are_in_a_stream_of_their_own_with_who_did_it(clean: Stack) -> None:
    """Evidence keeps the actor's address; secrets are masked there too."""
    details = {"before": {"name": "a"}, "after": {"name": "b"}}
    event = record(
        "user_login",
        note="password=hunter2222",
        **{"audit.actor": "ann@example.com", "audit.details": details},
    )
    send(clean, "logs", logs("etl_telemetry.audit", event))
    send(clean, "logs", logs("app", record("no audit")))
    (audit,) = hits(clean, "logs-etl.audit.otel-default")
    assert audit["_source"]["attributes"] == {
        "audit.actor": "ann@example.com",
        "audit.details": details,
        "note": "****",
    }
    assert [hit["_source"]["body"]["text"] for hit in hits(clean, "logs-generic.*")] == ["no audit"]


def test_audit_record_of_another_shape_is_kept(clean: Stack) -> None:
    """Whoever writes to the logger of audit events with a text for details is heard as well."""
    event = record("user_login", **{"audit.details": "by hand"})
    send(clean, "logs", logs("etl_telemetry.audit", event))
    (audit,) = hits(clean, "logs-etl.audit.otel-default")
    assert audit["_source"]["attributes"] == {"audit.details": {"value": "by hand"}}
    query = {"term": {"attributes.audit.details.value": "by hand"}}
    assert clean.elasticsearch.ask.count("logs-etl.audit.otel-default", query) == 1


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_masked_in_text_and_attributes(secret: str, clean: Stack) -> None:
    """The second line: what other code logs does not get to the backend as it is."""
    send(clean, "logs", logs("app", record(secret, note=secret)))
    (hit,) = hits(clean, "logs-generic.otel-default")
    told = hit["_source"]["body"]["text"] + hit["_source"]["attributes"]["note"]
    leaked = [word for word in ("4111", "ann@", "abcdefgh", "hunter", "abcd1234") if word in told]
    assert ("****" in told, leaked) == (True, [])


def test_what_looks_like_a_secret_and_is_none_stays(clean: Stack) -> None:
    """Ids, times, names of workers and numbers are not masked."""
    kept = {
        "worker_name": "celery@web-1.example.com",
        "pipeline.run.id": "4f3c2b1a-4111-4111-8111-411111111111",
        "task.id": "4111111111111111411111111111111a",
        "started": "2026-11-25T08:00:00.123456+00:00",
        "duration": 1764057600123456789,
        "code.function.name": "apps.pipelines.tasks.run",
        "url": "http://api.example.com:8080/token/orders?page=REDACTED",
        "token_count": 12,
    }
    send(clean, "logs", logs("app", record("rows=5111", **kept)))
    (hit,) = hits(clean, "logs-generic.otel-default")
    assert hit["_source"]["attributes"] == kept
    assert hit["_source"]["body"]["text"] == "rows=5111"


def test_errors_are_found_by_severity(clean: Stack) -> None:
    """One search for what is as bad as an error or worse, whatever its logger calls it."""
    send(clean, "logs", logs("app", record("fine"), record("bad", 17), record("worst", 21)))
    hits(clean, "logs-generic.otel-default")
    query = {"range": {"severity_number": {"gte": 17}}}
    found = clean.elasticsearch.ask.documents("logs-*", query)
    assert sorted(each["body"]["text"] for each in found) == ["bad", "worst"]


def test_errors_are_kept_in_their_own_stream(clean: Stack) -> None:
    """Once, and nothing else is there: what is no error, has no level, or is evidence."""
    send(clean, "logs", logs("app", record("bad", 17), record("warning", 16), record("plain", 0)))
    send(clean, "logs", logs("etl_telemetry.audit", record("refused", 17)))
    ask = clean.elasticsearch.ask

    def bodies(stream: str) -> list[str]:
        return sorted(each["body"]["text"] for each in ask.documents(stream))

    eventually("all records arrive", lambda: ask.count("logs-*") == 4)
    assert bodies("logs-etl.errors.otel-default") == ["bad"]
    assert bodies("logs-etl.audit.otel-default") == ["refused"]
    assert bodies("logs-generic.otel-default") == ["plain", "warning"]


def test_host_is_added_and_what_the_sender_says_stays(clean: Stack) -> None:
    """The Collector knows the host; the application knows better, where it says so."""
    request = logs("app", record("here"))
    request["resourceLogs"][0]["resource"]["attributes"] += attributes({"os.type": "plan9"})
    send(clean, "logs", request)
    (hit,) = hits(clean, "logs-generic.otel-default")
    found = hit["_source"]["resource"]["attributes"]
    assert found["os.type"] == "plan9"
    assert found["host.name"]


def test_span_metrics_are_one_series_for_a_service(stack: Stack) -> None:
    """However many processes it has: no id is a label, and an exemplar leads to a trace."""
    for instance in ("one", "two", "three"):
        send(stack, "traces", span(instance))
    name = "traces_span_metrics_calls_total"
    ask = stack.prometheus.ask
    eventually("all are counted", lambda: ask.values(name, "span_name") == {("GET /orders",): 3})
    ((labels),) = [sample.labels for sample in ask.query(name)]
    assert set(labels) == {
        "collector_instance_id", "job", "service_name", "span_kind", "span_name", "status_code",
    }  # fmt: skip
    end = time.time()
    buckets = "traces_span_metrics_duration_seconds_bucket"
    found = ask.exemplars(buckets, start=end - 600, end=end)
    assert {each.labels["trace_id"] for each in found} == {TRACE}
    ((attribute),) = {each.attributes["customer"] for each in stack.jaeger.ask.trace(TRACE)}
    assert attribute == "****"


def test_span_metrics_that_were_not_handed_on_die_with_the_collector(stack: Stack) -> None:
    """What cannot be kept: they are counted in memory. The spans themselves are on the disk."""
    late = {"connectors": {"span_metrics": {"metrics_flush_interval": "3600s"}}}
    with stack.collector.changed(late):
        send(stack, "traces", span("before", "POST /before"))
        stack.collector.kill()
        stack.collector.start()
    send(stack, "traces", span("after", "POST /after"))
    calls = 'traces_span_metrics_calls_total{span_name=~"POST /(before|after)"}'
    ask = stack.prometheus.ask
    eventually("the second is counted", lambda: ask.values(calls, "span_name"))
    assert set(ask.values(calls, "span_name")) == {("POST /after",)}
    names = {each.name for each in stack.jaeger.ask.trace(TRACE)}
    assert names >= {"POST /before", "POST /after"}
