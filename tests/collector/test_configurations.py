"""The rules that every configuration of the Collector keeps: what shows without an engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_telemetry.catalogue import AUDIT_SCOPE, RUN_TRACE_STATE, WORKER_NAME
from support import configurations
from support.configurations import Files
from support.deployment import COLLECTOR, variables
from support.pages import REPOSITORY

COMBINATIONS = list(configurations.combinations())
LISTENS = (
    "ETL_OTLP_GRPC_ENDPOINT", "ETL_OTLP_HTTP_ENDPOINT", "ETL_HEALTH_ENDPOINT",
    "ETL_COLLECTOR_METRICS_HOST", "ETL_SCRAPE_ENDPOINT",
)  # fmt: skip
TO_BACKENDS = [files for files in COMBINATIONS if files[0] in configurations.BACKENDS]
README = (COLLECTOR / "README.md").read_text()
TELL_PROMETHEUS = [
    COLLECTOR / "README.md",
    COLLECTOR / "prometheus" / "prometheus.yml",
    COLLECTOR / "prometheus" / "prometheus-scrape.yml",
    REPOSITORY / "docs" / "how-to" / "collector.md",
]
"""Where a reader finds the options to start Prometheus with."""
each_combination = pytest.mark.parametrize("files", COMBINATIONS, ids=" + ".join)


def pipelines(files: Files) -> dict[str, dict[str, Any]]:
    """Return the pipelines of merged files."""
    found: dict[str, dict[str, Any]] = configurations.read(files)["service"]["pipelines"]
    return found


def test_every_file_is_in_a_combination() -> None:
    """A configuration that is not started by the tests is a promise that nobody keeps."""
    assert {file for files in COMBINATIONS for file in files} == configurations.files()


@pytest.mark.parametrize("file", sorted(configurations.files()))
def test_readme_names_every_file(file: str) -> None:
    """Who looks for a file finds it in README.md, by the path to give to `--config`."""
    assert f"`{file}`" in README or f"--config {file}" in README


def test_readme_names_no_file_that_is_missing() -> None:
    """A path that README.md gives to `--config` exists."""
    named = re.findall(r"--config ([\w./-]+\.yaml)", README)
    assert named
    assert [file for file in named if not (COLLECTOR / file).exists()] == []


@pytest.mark.parametrize("file", sorted(configurations.files()))
def test_nothing_listens_beyond_this_machine_by_default(file: str) -> None:
    """Without a variable each server is on 127.0.0.1."""
    found = variables((COLLECTOR / file).read_text())
    defaults = {name: found[name].default for name in LISTENS if name in found}
    assert {name: value for name, value in defaults.items() if not value.startswith("127.")} == {}


@pytest.mark.parametrize("page", TELL_PROMETHEUS, ids=lambda page: page.name)
def test_prometheus_is_told_to_stay_on_this_machine(page: Path) -> None:
    """By itself it listens on all addresses, without a login, and takes what anybody sends."""
    told = re.findall(r"--web\.listen-address=(\S+)", page.read_text())
    assert told == ["127.0.0.1:9090"]


@pytest.mark.parametrize("file", sorted(configurations.files()))
def test_every_variable_has_a_default(file: str) -> None:
    """A configuration starts on a desk without any setting."""
    found = variables((COLLECTOR / file).read_text())
    assert [name for name, variable in found.items() if variable.default is None] == []


@each_combination
def test_memory_is_guarded_first_and_nothing_batches_before_a_queue(files: Files) -> None:
    """A pipeline that receives begins with memory_limiter; `batch` would lose what it holds."""
    for name, pipeline in pipelines(files).items():
        processors = pipeline.get("processors", [])
        assert "batch" not in processors, name
        if {"otlp", "kafka"} & {each.partition("/")[0] for each in pipeline["receivers"]}:
            assert processors[0] == "memory_limiter", name


@each_combination
def test_every_exporter_in_use_is_durable_and_never_gives_up(files: Files) -> None:
    """Each has a queue on disk that says no when it is full, and retries without an end."""
    merged = configurations.read(files)
    used = {e for p in merged["service"]["pipelines"].values() for e in p["exporters"]}
    exporters = {e: merged["exporters"][e] for e in used if e in merged["exporters"]}
    assert exporters
    for name, settings in exporters.items():
        if name == "prometheus/scrape":
            continue  # It keeps the last value for whoever asks.
        queue = settings["sending_queue"]
        chosen = {key: queue[key] for key in ("enabled", "storage", "sizer", "block_on_overflow")}
        assert chosen == {
            "enabled": True, "storage": "file_storage", "sizer": "bytes", "block_on_overflow": False
        }, name  # fmt: skip
        if name.startswith("elasticsearch"):
            assert settings["retry"]["max_retries"] >= 10**9, name
            assert settings["retry"]["retry_on_status"] == [429, 500, 502, 503, 504], name
            assert settings["timeout"] == "0s", name  # of all tries of a batch together
        else:
            assert settings["retry_on_failure"]["max_elapsed_time"] == "0s", name
    disk = merged["extensions"]["file_storage"]
    assert {key: disk[key] for key in ("fsync", "create_directory")} == {
        "fsync": True, "create_directory": True
    }  # fmt: skip


@pytest.mark.parametrize("file", ["gateway.yaml", "agent.yaml"])
def test_parts_that_two_configurations_share_are_the_same(file: str) -> None:
    """A component of one name means one thing, wherever it stands."""
    one, other = configurations.read(("single-node.yaml",)), configurations.read((file,))
    differing = [
        f"{kind}: {name}"
        for kind in ("receivers", "processors", "connectors", "exporters", "extensions")
        for name in set(one.get(kind, {})) & set(other.get(kind, {}))
        if one[kind][name] != other[kind][name]
    ]
    assert differing == []
    assert one["service"]["telemetry"] == other["service"]["telemetry"]
    assert one["service"]["extensions"] == other["service"]["extensions"]


def test_pipelines_of_a_gateway_are_those_of_a_single_node() -> None:
    """But for the host, which agents have named, and what samples between spans and backend."""
    expected, gateway = pipelines(("single-node.yaml",)), pipelines(("gateway.yaml",))
    for name in ("metrics", "traces", "logs"):
        expected[name]["processors"].remove("resource_detection")
    expected["traces"]["exporters"] = ["routing/runs", "span_metrics"]
    for name, processors in (("runs", {}), ("sampled", {"processors": ["tail_sampling"]})):
        into = {"receivers": ["routing/runs"], "exporters": ["forward/traces"]}
        expected[f"traces/{name}"] = into | processors
    assert gateway == expected


def ways(merged: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Return each way of spans and records from a receiver to a backend: all that it passes."""
    connectors, lines = merged["connectors"], merged["service"]["pipelines"]

    def onward(name: str, *passed: str) -> Iterator[tuple[str, ...]]:
        for exporter in lines[name]["exporters"]:
            way = (*passed, name, *lines[name].get("processors", ()), exporter)
            if exporter not in connectors:
                yield way
            # A router may choose: each pipeline that takes from it counts.
            for other in lines if exporter in connectors else ():
                if exporter in lines[other]["receivers"] and not is_metric(other):
                    yield from onward(other, *way)

    for name in lines:
        for receiver in lines[name]["receivers"]:
            if receiver not in connectors and not is_metric(name):
                yield from onward(name, receiver)


def is_metric(pipeline: str) -> bool:
    """Say whether a pipeline is for metrics, which are not masked."""
    return pipeline.partition("/")[0] == "metrics"


@pytest.mark.parametrize("files", TO_BACKENDS, ids=" + ".join)
def test_every_way_to_a_backend_is_redacted(files: Files) -> None:
    """No span and no record gets around the second line, and only audit records get the other."""
    merged = configurations.read(files)
    router = merged["connectors"]["routing/audit"]
    audit = {*router["table"][0]["pipelines"]} - {*router["default_pipelines"]}
    found = list(ways(merged))
    line = {way: "redaction/audit" if audit & {*way} else "redaction" for way in found}
    assert [way for way in found if line[way] not in way] == []
    # Nothing was overlooked: the ways begin and end at all that is no connector.
    used = [p for name, p in merged["service"]["pipelines"].items() if not is_metric(name)]
    for kind, place in (("receivers", 0), ("exporters", -1)):
        ends = {each for pipeline in used for each in pipeline[kind]} - {*merged["connectors"]}
        assert {way[place] for way in found} == ends


@pytest.mark.parametrize("file", configurations.BACKENDS)
def test_names_are_those_that_the_library_sends(file: str) -> None:
    """Audit records, runs and names of workers are known by what the catalogue calls them."""
    merged = configurations.read((file,))
    (audit,) = merged["connectors"]["routing/audit"]["table"]
    assert audit["condition"] == f'instrumentation_scope.name == "{AUDIT_SCOPE}"'
    assert WORKER_NAME in merged["processors"]["redaction"]["ignored_keys"]
    if file == "gateway.yaml":
        (runs,) = merged["connectors"]["routing/runs"]["table"]
        key, value = RUN_TRACE_STATE
        assert runs["condition"] == f'trace_state["{key}"] == "{value}"'


@each_combination
def test_privacy_fails_closed(files: Files) -> None:
    """What cannot be routed or changed is refused, not passed on as it is."""
    merged = configurations.read(files)
    modes = {
        name: settings["error_mode"]
        for kind in ("processors", "connectors")
        for name, settings in merged.get(kind, {}).items()
        if name.partition("/")[0] in {"transform", "filter", "routing"}
    }
    assert set(modes.values()) == {"propagate"}
