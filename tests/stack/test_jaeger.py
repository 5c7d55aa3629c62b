"""Jaeger's searches, its page of service performance, and its links to log records and back."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import unquote

import pytest

from support.pages import REPOSITORY
from support.stack import eventually
from support.stack.product import PRODUCT

SERVICE = "etl-platform"
PAGE = REPOSITORY / "docs" / "how-to" / "jaeger.md"
SEARCHES = re.findall(r"^\| [^|]+ \| `([\w.]+=[^`]+)` \|", PAGE.read_text(), re.MULTILINE)
BUTTON = "POST pipelines/<slug:name>/run"


def runs(proof: Any, **fields: str) -> set[str]:
    """Return the traces of the ledger's runs with these fields."""
    return {run["trace_id"] for run in proof.runs if all(run[key] == fields[key] for key in fields)}


def tags(search: str) -> dict[str, str]:
    """Return the tags of a search, as they are typed into Jaeger's page."""
    return dict(pair.split("=", 1) for pair in search.split())


@pytest.mark.parametrize("search", SEARCHES)
def test_documented_searches_find_traces(search: str, proof: Any) -> None:
    """Every search of the page finds at least one trace, with a span that has all of its tags."""
    found = proof.stack.jaeger.ask.found(SERVICE, tags=tags(search))
    assert found
    for trace in found.values():
        spans = [{tag["key"]: str(tag["value"]) for tag in span["tags"]} for span in trace["spans"]]
        assert any(tags(search).items() <= span.items() for span in spans)


def test_page_has_the_searches_of_a_run() -> None:
    """By pipeline, by run, by status and by task."""
    keys = {key for search in SEARCHES for key in tags(search)}
    assert {"pipeline.name", "pipeline.status", "task.status", "error.type"} <= keys


@pytest.mark.parametrize("pipeline", ["fleet-aa", "weather-ewr", "delays-ua"])
def test_a_pipeline_finds_all_of_its_runs(pipeline: str, proof: Any) -> None:
    """As many as the ledger has, and no others."""
    found = proof.stack.jaeger.ask.found(SERVICE, tags={"pipeline.name": pipeline})
    assert found.keys() == runs(proof, pipeline=pipeline)


@pytest.mark.parametrize("status", ["success", "failed", "cancelled"])
def test_a_status_finds_the_runs_of_the_ledger(status: str, proof: Any) -> None:
    """Each of them, and no others."""
    found = proof.stack.jaeger.ask.found(SERVICE, tags={"pipeline.status": status})
    assert found.keys() == runs(proof, status=status) != set()


def test_two_tags_must_both_fit(proof: Any) -> None:
    """They are of one span."""
    asked = {"pipeline.organization": "AA", "pipeline.status": "failed"}
    found = proof.stack.jaeger.ask.found(SERVICE, tags=asked)
    assert found.keys() == runs(proof, organization="AA", status="failed") != set()


@pytest.mark.parametrize("search", ["error=true", "span.kind=server"])
def test_searches_that_find_nothing(search: str, proof: Any) -> None:
    """As the page warns. When this fails, Jaeger has mended it, and the warning can go."""
    assert f"`{search}`" in PAGE.read_text()
    # Jaeger 2.13 compares a text with a boolean: internal/storage/v2/memory/tenant.go, validSpan().
    assert proof.stack.jaeger.ask.found(SERVICE, tags=tags(search)) == {}


def performance(proof: Any, what: str, **more: str) -> dict[str, float]:
    """Return what the page of service performance shows for the whole time."""
    seconds = proof.end - proof.begin + 60
    return dict(
        proof.stack.jaeger.ask.performance(what, SERVICE, end=proof.end, seconds=seconds, **more)
    )


def test_latencies_are_numbers(proof: Any) -> None:
    """Of each operation of the web server; with a series for each process they would be NaN."""
    found = performance(proof, "latencies", quantile="0.95", spanKind="server")
    assert BUTTON in found
    assert not [operation for operation, value in found.items() if math.isnan(value)]
    assert all(0 < value <= 3600 for value in found.values())


def test_rates_are_those_of_the_span_metrics(proof: Any) -> None:
    """The same operations that Prometheus has, none twice."""
    calls = performance(proof, "calls", spanKind="server")
    counted = proof.metric(
        'sum by (span_name) (traces_span_metrics_calls_total{span_kind="SPAN_KIND_SERVER"})',
        "span_name",
    )
    assert calls.keys() == {name for (name,) in counted}
    assert calls[BUTTON] > 0


def test_errors_are_shares(proof: Any) -> None:
    """The task that failed did so each time, and requests did not."""
    tasks = performance(proof, "errors", spanKind="consumer")
    assert tasks["run/apps.pipelines.tasks.fleet.extract_fleet"] > 0
    assert all(0 <= share <= 1 for share in tasks.values() if not math.isnan(share))


def test_span_metrics_count_every_span(proof: Any) -> None:
    """What performance is made of: as many calls of a delivery as Jaeger has spans of it."""
    calls = (
        "sum by (span_name) (traces_span_metrics_calls_total"
        '{span_kind="SPAN_KIND_CONSUMER", span_name=~"run/.+"})'
    )
    spans: dict[tuple[str], float] = {}
    for trace in proof.traces.values():
        for span in trace:
            if span.name.startswith("run/"):
                spans[(span.name,)] = spans.get((span.name,), 0) + 1

    def counted() -> bool:
        return proof.stack.prometheus.ask.values(calls, "span_name") == spans

    # The Collector tells its sums every 15 s: those of the last spans may come later.
    eventually("all spans are counted", counted)


UI = json.loads((PRODUCT / "jaeger" / "ui.json").read_text())


def test_jaeger_serves_the_links(proof: Any) -> None:
    """Its page carries the settings of `ui.json`: the links, and the menu of performance."""
    page = proof.stack.jaeger.ask.page()
    (served,) = re.findall(r"^\s*JAEGER_CONFIG = (\{.*\});$", page, re.MULTILINE)
    assert json.loads(served) == UI


@pytest.mark.parametrize("link", UI["linkPatterns"], ids=lambda link: link["type"])
def test_links_lead_to_the_records(link: dict[str, Any], proof: Any) -> None:
    """The query of each link finds the records of that trace, or of that run, and no others."""
    run = proof.run_of("fleet-aa")
    address = link["url"].replace("#{traceID}", run["trace_id"])
    address = address.replace("#{pipeline.run.id}", run["id"])
    (query,) = re.findall(r"language:kuery,query:'([^']+)'", unquote(address))
    # `field:value` and `field:"value"` mean the same to Kibana and to Elasticsearch.
    field, value = query.split(":", 1)
    asked = {"query_string": {"query": query}}
    found = proof.stack.elasticsearch.ask.documents("logs-*,-logs-etl.audit.*", asked)
    expected = proof.stack.elasticsearch.ask.documents(
        "logs-*,-logs-etl.audit.*", {"term": {field: value.strip('"')}}
    )
    assert found == expected != []


def test_every_trace_id_of_a_record_leads_to_a_trace(proof: Any) -> None:
    """The link of Kibana's data views: what an error's record names, Jaeger has."""
    ids = proof.stack.elasticsearch.ask.terms("logs-etl.errors.*", "trace_id")
    assert ids
    assert ids.keys() <= proof.traces.keys()
