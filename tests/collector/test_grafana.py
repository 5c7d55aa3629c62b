"""Grafana's data sources: metrics, logs and traces, each linked to the other two."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from etl_telemetry.catalogue import LOG_EVENTS
from support import compose, grafana
from support.deployment import COLLECTOR

FOLDER = COLLECTOR / "grafana" / "provisioning" / "datasources"
TEXT = "".join(path.read_text() for path in sorted(FOLDER.glob("*.yaml")))
SOURCES: dict[str, dict[str, Any]] = {
    source["uid"]: source
    for path in sorted(FOLDER.glob("*.yaml"))
    for source in yaml.safe_load(path.read_text())["datasources"]
}

LINKS = SOURCES["elasticsearch"]["jsonData"]["dataLinks"]

# Written by OpenTelemetry's Django instrumentation, not by a recorder of ours.
CONVENTIONS = {"http_server_request_duration_seconds"}


def targets(value: object) -> set[str]:
    """Collect every `datasourceUid` below a value."""
    if isinstance(value, dict):
        own = {value["datasourceUid"]} if "datasourceUid" in value else set()
        return own.union(*map(targets, value.values()))
    return set().union(*map(targets, value)) if isinstance(value, list) else set()


def test_there_is_one_source_for_each_signal() -> None:
    """Metrics, logs and traces have one data source each, and one is the default."""
    assert {uid: source["type"] for uid, source in SOURCES.items()} == {
        "prometheus": "prometheus",
        "elasticsearch": "elasticsearch",
        "jaeger": "jaeger",
    }
    assert [uid for uid, source in SOURCES.items() if source.get("isDefault")] == ["prometheus"]


def test_sources_are_linked_both_ways() -> None:
    """From a metric to its trace and back, from a log record to its trace and back."""
    assert {uid: targets(source["jsonData"]) for uid, source in SOURCES.items()} == {
        "prometheus": {"jaeger"},
        "elasticsearch": {"jaeger"},
        "jaeger": {"elasticsearch", "prometheus"},
    }


def test_a_trace_is_found_by_the_field_that_the_exporters_write() -> None:
    """Exemplars and documents carry the id of the trace as `trace_id`."""
    (exemplar,) = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    (link,) = (link for link in LINKS if "datasourceUid" in link)
    query = SOURCES["jaeger"]["jsonData"]["tracesToLogsV2"]["query"]
    assert (exemplar["name"], link["field"]) == ("trace_id", "trace_id")
    assert (link["url"], query) == ("$${__value.raw}", 'trace_id:"$${__span.traceId}"')


@pytest.mark.parametrize(
    ("field", "uid", "variable"),
    [
        ("attributes.pipeline.name", "etl-pipeline", "pipeline"),
        ("attributes.http.route", "etl-django", "route"),
    ],
)
def test_a_record_leads_to_metrics(field: str, uid: str, variable: str) -> None:
    """A field that records have leads to a dashboard where its value can be chosen."""
    (link,) = (link for link in LINKS if link["field"] == field)
    chosen = f"var-{variable}=$${{__value.raw}}"
    assert link["url"] == f"/d/{uid}?{chosen}&$${{__url_time_range}}"
    board = grafana.boards()[uid]
    assert variable in {each["name"] for each in board["templating"]["list"]}
    fields = {name for event in LOG_EVENTS.values() for name in event.fields}
    assert field.removeprefix("attributes.") in fields


def test_addresses_come_from_the_environment_that_compose_sets() -> None:
    """The file names no host; compose.yaml sets each variable that it reads."""
    named = set(re.findall(r"(?<!\$)\$\{?(\w+)", re.sub(r"^\s*#.*$", "", TEXT, flags=re.MULTILINE)))
    given = compose.load(COLLECTOR).services["grafana"]["environment"]
    assert {source["url"] for source in SOURCES.values()} == {f"${{{name}}}" for name in named}
    assert named <= given.keys()


@pytest.mark.parametrize("uid", SOURCES)
def test_source_is_asked_by_the_server_and_has_no_secret(uid: str) -> None:
    """The browser never needs to reach a backend, and no password is in the file."""
    assert SOURCES[uid]["access"] == "proxy"
    assert not SOURCES[uid].keys() & {"secureJsonData", "basicAuth", "password", "user"}


def test_metrics_that_a_trace_leads_to_are_in_the_catalogue() -> None:
    """A query behind a span asks for a name that the library writes."""
    from etl_telemetry.catalogue import METRICS

    names = {metric.prometheus for metric in METRICS.values()}
    for query in SOURCES["jaeger"]["jsonData"]["tracesToMetrics"]["queries"]:
        asked = re.findall(r"\b([a-z_]+?)(?:_count|_bucket|_sum)?\{", query["query"])
        assert asked
        assert set(asked) <= names | CONVENTIONS, query["name"]
