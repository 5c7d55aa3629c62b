"""Overlays: another shape of traces and logs, any OTLP, and metrics that are scraped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.stack import Prometheus, Stack, eventually
from support.stack.anybody import Anybody
from support.stack.ask import http
from support.stack.ask.http import Refused
from support.stack.product import PRODUCT
from support.stack.prometheus import FLAGS

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FILES = ("single-node.yaml", "overlays/traces-elasticsearch.yaml", "overlays/logs-opensearch.yaml")
BOTH = ("overlays/both/traces-elasticsearch.yaml", "overlays/both/logs-opensearch.yaml")
INDICES = ("etl-logs", "etl-audit")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack whose Elasticsearch stands in for OpenSearch, which is not among our engines.

    It proves what the Collector sends: ordinary indices, no data stream. OpenSearch makes the
    indices by itself; this one is told not to make any without a template.
    """
    folder = tmp_path_factory.mktemp("overlays")
    stack = Stack(folder, configs=[PRODUCT / file for file in FILES])
    stack.collector.variables["OPENSEARCH_ENDPOINT"] = stack.elasticsearch.address("http")
    with stack:
        for index in INDICES:
            http.send("PUT", f"{stack.elasticsearch.address('http')}/{index}", {})
        yield stack


def span(trace: str = TRACE) -> dict[str, Any]:
    """Return a request with one span."""
    now = time.time_ns()
    one = {
        "traceId": trace,
        "spanId": SPAN,
        "name": "GET /",
        "startTimeUnixNano": str(now),
        "endTimeUnixNano": str(now + 10**6),
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}


def record(scope: str, body: str) -> dict[str, Any]:
    """Return a request with one log record."""
    one = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": body}, "traceId": TRACE}
    return {"resourceLogs": [{"scopeLogs": [{"scope": {"name": scope}, "logRecords": [one]}]}]}


def send(stack: Stack, signal: str, body: dict[str, Any]) -> None:
    """Send, and wait until it has gone on."""
    http.send("POST", f"{stack.collector.otlp_http}/v1/{signal}", body)
    stack.settle()


def test_span_that_is_delivered_twice_is_one_document(stack: Stack) -> None:
    """The ids of a span are the id of its document."""
    body = span()
    for _ in range(2):
        send(stack, "traces", body)
    send(stack, "traces", span("1" + TRACE[1:]))
    ask = stack.elasticsearch.ask
    eventually(
        "the last one arrives", lambda: ask.count("traces-*", {"term": {"name": "GET /"}}) > 1
    )
    hits = ask.search("traces-*")["hits"]["hits"]
    assert {hit["_id"] for hit in hits} == {f"{TRACE}-{SPAN}", f"1{TRACE[1:]}-{SPAN}"}
    assert {hit["_index"].partition("-2")[0] for hit in hits} == {".ds-traces-generic.otel-default"}
    assert [hit["_source"]["attributes"] for hit in hits] == [{}, {}]


@pytest.mark.parametrize(
    ("scope", "index"), [("app", "etl-logs"), ("etl_telemetry.audit", "etl-audit")]
)
def test_logs_for_opensearch_are_in_ordinary_indices(scope: str, index: str, stack: Stack) -> None:
    """Records and audit records, each in its own, found by trace id."""
    send(stack, "logs", record(scope, "a record"))
    ask = stack.elasticsearch.ask
    eventually("it arrives", lambda: ask.count(index))
    (found,) = ask.documents(index, {"match": {"TraceId": TRACE}})
    assert (found["Body"], found["Scope.name"]) == ("a record", scope)
    assert ask.count("logs-*") == 0


def test_exceptions_on_a_span_that_is_delivered_twice_are_there_once(stack: Stack) -> None:
    """Those of one time and of one kind stay apart: time and attributes are in the id."""
    ask, trace, last = stack.elasticsearch.ask, "3" + TRACE[1:], "4" + TRACE[1:]

    def failed(trace: str) -> dict[str, Any]:
        body = span(trace)
        (one,) = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        begin = int(one["startTimeUnixNano"])
        one["events"] = [
            {
                "name": "exception",
                "timeUnixNano": str(begin + late),
                "attributes": [{"key": "exception.message", "value": {"stringValue": text}}],
            }
            for late, text in ((0, "a"), (0, "b"), (1, "a"))
        ]
        return body

    body = failed(trace)
    for each in (body, body, failed(last)):
        send(stack, "traces", each)
    eventually(
        "the last one arrives", lambda: ask.count("logs-*", {"term": {"trace_id": last}}) == 3
    )
    found = ask.documents("logs-*", {"term": {"trace_id": trace}})
    told = sorted(each["attributes"]["exception.message"] for each in found)
    assert told == ["a", "a", "b"]


def test_both_get_everything(stack: Stack) -> None:
    """With one file more the old backends get what the new ones get, and nothing else."""
    stack.collector.configs = [PRODUCT / file for file in (*FILES, *BOTH)]
    stack.collector.restart()
    trace = "2" + TRACE[1:]
    send(stack, "traces", span(trace))
    send(stack, "logs", record("app", "to both"))
    send(stack, "logs", record("etl_telemetry.audit", "to both"))
    ask = stack.elasticsearch.ask
    streams = ("logs-generic.otel-default", "logs-etl.audit.otel-default")
    for index in (*INDICES, *streams):
        field = "Body" if index in INDICES else "body.text"
        query = {"match_phrase": {field: "to both"}}
        eventually(f"it is in {index}", lambda i=index, q=query: ask.count(i, q) == 1)
    eventually("Jaeger has it", lambda: stack.jaeger.ask.trace(trace))
    (found,) = stack.jaeger.ask.trace(trace)
    assert found.attributes == {}
    assert ask.count("traces-*", {"term": {"trace_id": trace}}) == 1


OURS = {"metrics": "prometheus", "traces": "jaeger", "logs": "generic", "audit": "etl.audit"}


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anybody]:
    """Start somebody who takes OTLP and wants a token, in the place of Mimir, Tempo, a vendor."""
    with Anybody(tmp_path_factory.mktemp("vendor")) as anybody:
        yield anybody


def emitted(stack: Stack) -> dict[str, str]:
    """Send a counter, a span, a record and an audit record; return what each is known by."""
    trace = f"{time.time_ns():032x}"
    known = {"metrics": f"jobs_{trace}_total", "traces": trace}
    known |= {"logs": f"a record of {trace}", "audit": f"an event of {trace}"}
    send(stack, "traces", span(trace))
    send(stack, "logs", record("app", known["logs"]))
    send(stack, "logs", record("etl_telemetry.audit", known["audit"]))
    now = time.time_ns()
    point = {"asInt": "1", "startTimeUnixNano": str(now - 10**9), "timeUnixNano": str(now)}
    counter = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}
    metric = {"name": f"jobs_{trace}", "sum": counter}
    send(stack, "metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})
    return known


def who_has(stack: Stack, vendor: Anybody, known: dict[str, str]) -> dict[str, set[str]]:
    """Return which backends have each of what was sent."""
    ask = stack.elasticsearch.ask
    found: dict[str, set[str]] = {
        signal: {"vendor"} if vendor.has(kind, known[signal].removesuffix("_total")) else set()
        for signal, kind in zip(OURS, ("metrics", "traces", "logs", "logs"), strict=True)
    }
    if stack.prometheus.ask.query(known["metrics"]):
        found["metrics"].add("prometheus")
    if stack.jaeger.ask.trace(known["traces"]):
        found["traces"].add("jaeger")
    for signal in ("logs", "audit"):
        query = {"match_phrase": {"body.text": known[signal]}}
        if ask.count(f"logs-{OURS[signal]}.otel-default", query):
            found[signal].add(OURS[signal])
    return found


@pytest.mark.parametrize("both", [False, True], ids=["swapped", "both"])
@pytest.mark.parametrize(
    ("overlays", "theirs"),
    [
        pytest.param(("metrics-otlp", "traces-tempo"), {"metrics", "traces"}, id="any OTLP"),
        pytest.param(("all-vendor",), {*OURS}, id="vendor"),
    ],
)
def test_somebody_who_takes_otlp_gets_what_the_overlay_says(
    *, overlays: tuple[str, ...], theirs: set[str], both: bool, stack: Stack, vendor: Anybody
) -> None:
    """With the login from the environment or from a file; the old backend only where both do."""
    with pytest.raises(Refused, match="answered 401"):
        http.send("POST", f"{vendor.otlp_http}/v1/traces", span())
    files = ["single-node.yaml", *(f"overlays/{name}.yaml" for name in overlays)]
    files += [f"overlays/both/{name}.yaml" for name in overlays if both]
    stack.collector.configs = [PRODUCT / file for file in files]
    login = vendor.header_from_a_file(overlays)
    with stack.collector.changed(login, **vendor.for_collector()):
        known = emitted(stack)
        expected = {
            signal: ({"vendor"} if signal in theirs else set())
            | ({OURS[signal]} if both or signal not in theirs else set())
            for signal in OURS
        }
        eventually("it is where it belongs", lambda: who_has(stack, vendor, known) == expected)


def test_login_that_the_vendor_refuses_costs_what_is_sent(stack: Stack, vendor: Anybody) -> None:
    """What cannot be kept: a 401 is final to the exporter, and its metrics say so."""
    stack.collector.configs = [
        PRODUCT / f for f in ("single-node.yaml", "overlays/all-vendor.yaml")
    ]
    wrong = {**vendor.for_collector(), "VENDOR_OTLP_HEADER_VALUE": "Bearer wrong"}
    trace, failed = f"{time.time_ns():032x}", "otelcol_exporter_send_failed_spans"
    with stack.collector.changed(**wrong):
        send(stack, "traces", span(trace))
        told = stack.collector.ask.samples
        eventually("it is dropped", lambda: any(each.value for each in told().get(failed, ())))
    assert not vendor.has("traces", trace)


class Prometheus2(Prometheus):
    """An old one, which is not among the engines: Debian's package `prometheus`, for instance."""

    def command(self) -> list[str]:
        """Return how it is started: it takes no OTLP."""
        usual = [option for option in super().command()[1:] if not option.startswith(FLAGS)]
        return [os.environ["ETL_PROMETHEUS_2"], *usual, "--enable-feature=exemplar-storage"]


@pytest.fixture(params=[Prometheus, Prometheus2], ids=["3", "2"])
def scraping(request: pytest.FixtureRequest, tmp_path: Path, stack: Stack) -> Iterator[Prometheus]:
    """Start a Prometheus with the product's configuration for scraping, once a second."""
    if request.param is Prometheus2 and "ETL_PROMETHEUS_2" not in os.environ:
        pytest.skip("ETL_PROMETHEUS_2 does not name a Prometheus 2")
    engine: Prometheus = request.param(tmp_path)
    engine.config = PRODUCT / "prometheus" / "prometheus-scrape.yml"
    engine.scrape("scrape", f"127.0.0.1:{stack.collector.ports['scrape']}")
    text = engine.config.read_text()
    engine.config.write_text(text.replace("scrape_interval: 15s", "scrape_interval: 1s"))
    with engine:
        yield engine


def test_scraped_metrics_have_their_names_and_up_tells_of_the_collector(
    stack: Stack, scraping: Prometheus
) -> None:
    """The same series as by a push, of who counted; pushed as well by the file for both."""
    files = ("single-node.yaml", "overlays/metrics-scrape.yaml")
    stack.collector.configs = [PRODUCT / file for file in files]
    stack.collector.restart()
    now = time.time_ns()
    point = {"asInt": "3", "startTimeUnixNano": str(now - 10**9), "timeUnixNano": str(now)}
    point["exemplars"] = [
        {"timeUnixNano": str(now), "asInt": "1", "traceId": TRACE, "spanId": SPAN}
    ]
    counter = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}
    metric = {"name": "scraped.rows", "unit": "{row}", "sum": counter}
    names = {"service.name": "shop", "service.instance.id": "one"}
    own = {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in names.items()]}
    body = {"resourceMetrics": [{"resource": own, "scopeMetrics": [{"metrics": [metric]}]}]}
    send(stack, "metrics", body)
    ask, up = scraping.ask, 'up{job="etl-telemetry"}'
    labels = ("job", "instance")
    eventually(
        "it is scraped",
        lambda: ask.values("scraped_rows_total", *labels) == {("shop", "one"): 3},
    )
    found = ask.exemplars("scraped_rows_total", start=now / 1e9 - 60, end=time.time() + 60)
    assert {each.labels["trace_id"] for each in found} == {TRACE}
    assert set(ask.values(up).values()) == {1}
    stack.collector.stop()
    eventually("it is seen to be away", lambda: set(ask.values(up).values()) == {0})
    stack.collector.start()
    eventually("it is back", lambda: set(ask.values(up).values()) == {1})
    assert stack.prometheus.ask.query("scraped_rows_total") == []
    stack.collector.configs.append(PRODUCT / "overlays" / "both" / "metrics-scrape.yaml")
    stack.collector.restart()
    point["asInt"] = "4"
    send(stack, "metrics", body)
    both = (ask, stack.prometheus.ask)
    eventually(
        "both have it",
        lambda: (
            [each.values("scraped_rows_total", *labels) for each in both]
            == [{("shop", "one"): 4}] * 2
        ),
    )
