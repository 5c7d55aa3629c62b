"""Dashboards ask for what the catalogue has, are valid in Grafana's format, and are not stale."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from typing import Any

import pytest
import typeguard
import yaml

from etl_telemetry import catalogue
from etl_telemetry.catalogue import names
from etl_telemetry.cli import main
from etl_telemetry.ops import dashboards, rules
from etl_telemetry.ops.dashboards import sdk
from etl_telemetry.ops.thresholds import Thresholds
from support import grafana, promql
from support.grafana import FOLDER, Target
from support.pages import REPOSITORY
from support.series import TARGET, known

BOARDS = grafana.boards()
ALERTS = rules.alerts(Thresholds())
SOURCES = {
    source["uid"]: source["type"]
    for path in (FOLDER.parent / "provisioning" / "datasources").glob("*.yaml")
    for source in yaml.safe_load(path.read_text())["datasources"]
}
PLACEHOLDERS = dict.fromkeys(
    ("environment", "organization", "pipeline", "service", "queue", "route", "database"), "a"
)
WINDOWS = {"__rate_interval": "4m", "__range": "1h", "__interval": "1m"}
GONE = {"graph", "singlestat", "table-old", "grafana-piechart-panel", "grafana-worldmap-panel"}
"""Panel types that Grafana removed with Angular."""
RECORD_FIELDS = {
    "@timestamp", "event_name", "severity_text", "trace_id", "body.text",
    f"resource.attributes.{names.DEPLOYMENT_ENVIRONMENT_NAME}",
}  # fmt: skip
"""Fields of every record in Elasticsearch."""


def placed(target: Target) -> str:
    """Return the PromQL of a question with something for its variables."""
    return grafana.put_in(target.asked["expr"], {**PLACEHOLDERS, **WINDOWS})


def test_files_are_what_is_generated(tmp_path: Path) -> None:
    """Fix: etl-telemetry generate dashboards --out collector/grafana/dashboards."""
    assert main(["generate", "dashboards", "--out", str(tmp_path)]) == 0
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == made
    assert dashboards.files(Thresholds()) == made


def test_thresholds_of_a_team_are_drawn() -> None:
    """The number at which an alert fires is the one at which its panel turns red."""
    made = dashboards.files(Thresholds(queue_size=250))["etl-overview.json"]
    (panel,) = (p for p in json.loads(made)["panels"] if p["title"] == "Queue sizes")
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"] == [
        {"color": "green", "value": None},
        {"color": "red", "value": 250.0},
    ]


def test_alerts_lead_to_dashboards_that_exist() -> None:
    """Each dashboard that an alert names is there, and the seven have these ids."""
    assert set(BOARDS) == {
        "etl-overview", "etl-pipeline", "etl-celery", "etl-django", "etl-database", "etl-health",
        "etl-slo",
    }  # fmt: skip
    assert {alert.dashboard for alert in ALERTS} <= set(BOARDS)


def test_overview_has_the_six_panels_that_people_know() -> None:
    """None of the former panels is missing, and they can be seen by environment and tenant."""
    titles = {panel["title"] for panel in grafana.panels(BOARDS["etl-overview"])}
    assert titles >= {
        "Pipeline execution rate", "Active pipeline runs", "Pipeline success rate",
        "Data processing rate", "Queue sizes", "Database connections",
    }  # fmt: skip
    variables = [each["name"] for each in BOARDS["etl-overview"]["templating"]["list"]]
    assert variables == ["environment", "organization", "pipeline"]


# --- Names -----------------------------------------------------------------


@pytest.mark.parametrize("target", grafana.targets("prometheus"), ids=str)
def test_every_metric_and_label_of_a_panel_exists(target: Target) -> None:
    """A name that is in no catalogue would be a panel that is empty for ever."""
    expression = placed(target)
    metrics, labels = known(), set()
    for selector in promql.selectors(expression):
        assert set(selector.metrics) <= set(metrics)
        for metric in selector.metrics:
            assert selector.labels <= metrics[metric] | TARGET
            labels |= metrics[metric]
    assert promql.grouping(expression) <= labels | TARGET
    shown = set(re.findall(r"\{\{(\w+)\}\}", target.asked.get("legendFormat", "")))
    assert shown <= promql.grouping(expression)


@pytest.mark.parametrize(
    ("uid", "variable"),
    [pytest.param(uid, v, id=f"{uid}/{v['name']}") for uid, v in grafana.variables()],
)
def test_every_variable_takes_its_values_from_a_label_that_exists(
    uid: str, variable: dict[str, Any]
) -> None:
    """`label_values(series, label)`: both are in the catalogue."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert found is not None
    (selector,) = promql.selectors(grafana.put_in(found[1], PLACEHOLDERS))
    (metric,) = selector.metrics
    assert {found[2], *selector.labels} <= known()[metric] | TARGET


def fields(target: Target) -> set[str]:
    """Return the fields that a question to Elasticsearch names."""
    query = grafana.put_in(target.asked["query"], PLACEHOLDERS)
    asked = re.findall(r"([@\w.]+):[/\w(]", query)
    return {*asked, *(bucket["field"] for bucket in target.asked["bucketAggs"])}


def known_fields() -> set[str]:
    """Return the fields that log records of the catalogue have."""
    attributes = {field for event in catalogue.LOG_EVENTS.values() for field in event.fields}
    return RECORD_FIELDS | {f"attributes.{name}" for name in attributes}


@pytest.mark.parametrize("target", grafana.targets("elasticsearch"), ids=str)
def test_every_field_and_event_of_a_panel_exists(target: Target) -> None:
    """Fields and event names are those of the catalogue."""
    assert fields(target) <= known_fields()
    events = re.findall(r"event_name:(?:\(([^)]+)\)|(\w+))", target.asked["query"])
    named = {word for one, two in events for word in (one or two).split(" OR ")}
    assert named <= set(catalogue.LOG_EVENTS)


@pytest.mark.parametrize("target", grafana.targets("jaeger"), ids=str)
def test_every_tag_of_a_panel_exists(target: Target) -> None:
    """Attributes of a span of the catalogue: Jaeger 2.13 finds nothing by `error`, `span.kind`."""
    tags = {pair.partition("=")[0] for pair in target.asked["tags"].split(" ")}
    ours = {name for span in catalogue.SPANS for name in span.attributes}
    assert tags <= ours
    if "operation" in target.asked:
        operation = grafana.put_in(target.asked["operation"], {"pipeline": "{pipeline.name}"})
        assert operation in {span.name for span in catalogue.SPANS}


def test_every_metric_of_the_catalogue_is_looked_at() -> None:
    """Nobody would miss a number that is in no dashboard and no rule."""
    asked = [placed(target) for target in grafana.targets("prometheus")]
    asked += [rule.expr for group in rules.groups(Thresholds()) for rule in group.rules]
    seen = {
        re.sub(r"_(bucket|sum|count)$", "", metric)
        for expression in asked
        for selector in promql.selectors(expression)
        for metric in selector.metrics
    }
    assert {metric.prometheus for metric in catalogue.METRICS.values()} <= seen


# --- Grafana's format ------------------------------------------------------


def test_format_is_that_of_grafanas_own_models() -> None:
    """Read by them and written again each file is the same: no field is unknown or missing."""
    from grafana_foundation_sdk.cog import plugins

    plugins.register_default_plugins()
    for uid, board in BOARDS.items():
        read = sdk.dashboard.Dashboard.from_json(board)
        again = json.loads(json.dumps(read, cls=sdk.JSONEncoder))
        assert again == board, uid


def wrong_types(value: object, where: str = "") -> list[str]:
    """Return where a value of Grafana's models has another type than they declare."""
    if isinstance(value, list):
        return [w for n, each in enumerate(value) for w in wrong_types(each, f"{where}[{n}]")]
    if not type(value).__module__.startswith("grafana_foundation_sdk.models"):
        return []
    found = []
    for name, hint in typing.get_type_hints(type(value)).items():
        own = getattr(value, name)
        try:
            typeguard.check_type(
                own, hint, collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS
            )
        except typeguard.TypeCheckError as error:
            found.append(f"{where}.{name}: {error}")
        found += wrong_types(own, f"{where}.{name}")
    return found


def test_values_have_the_types_of_grafanas_own_models() -> None:
    """A text where Grafana wants a number would be a panel that does not draw."""
    from etl_telemetry.ops.dashboards import build

    for board in dashboards.dashboards(Thresholds()):
        assert wrong_types(build.model(board), board.uid) == []


def test_a_wrong_type_is_seen() -> None:
    """The test above can fail."""
    panel = sdk.dashboard.Panel(title=3)  # type: ignore[arg-type]
    wrong = wrong_types(sdk.dashboard.Dashboard(panels=[panel]))
    assert [each.partition(":")[0] for each in wrong] == [".panels[0].title"]


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_are_of_types_that_grafana_has(uid: str) -> None:
    """None of those that it removed, and each with an id of its own."""
    all_panels = BOARDS[uid]["panels"]
    types = {panel["type"] for panel in all_panels}
    assert not types & GONE
    assert types <= {"row", "timeseries", "stat", "bargauge", "table", "heatmap", "logs"}
    ids = [panel["id"] for panel in all_panels]
    assert ids == list(range(1, len(ids) + 1))


def test_tables_begin_with_what_is_worst() -> None:
    """The greatest number, but of schedules the one that is late by most."""
    least = [
        panel["title"]
        for board in BOARDS.values()
        for panel in grafana.panels(board)
        if panel["type"] == "table"
        for by in panel["options"]["sortBy"]
        if not by["desc"]
    ]
    assert least == ["Schedules"]


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_lie_side_by_side(uid: str) -> None:
    """Each within 24 columns, none on another."""
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[uid]["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("uid", BOARDS)
def test_sources_are_those_that_are_provisioned(uid: str) -> None:
    """Every panel, question and variable asks a data source that exists, of the right type."""

    def sources(value: object) -> list[dict[str, str]]:
        if isinstance(value, dict):
            own = [value["datasource"]] if "datasource" in value else []
            return own + [each for inner in value.values() for each in sources(inner)]
        return [s for inner in value for s in sources(inner)] if isinstance(value, list) else []

    found = sources(BOARDS[uid])
    assert found
    for source in found:
        assert SOURCES[source["uid"]] == source["type"]
    for panel in grafana.panels(BOARDS[uid]):
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {
            panel["datasource"]["uid"]
        }


@pytest.mark.parametrize("uid", BOARDS)
def test_variables_are_there_and_in_use(uid: str) -> None:
    """What a panel uses can be chosen, and what can be chosen changes something."""
    own = {variable["name"] for variable in BOARDS[uid]["templating"]["list"]}
    used = grafana.variables_in(BOARDS[uid]["panels"])
    assert used - grafana.BUILT_IN <= own
    assert own <= used | grafana.variables_in(BOARDS[uid]["templating"])


@pytest.mark.parametrize("uid", BOARDS)
def test_a_value_is_no_pattern(uid: str) -> None:
    """Where one value is chosen Grafana does not escape it for a regular expression: only `=`."""
    for variable in BOARDS[uid]["templating"]["list"]:
        equal = "=~" if variable["multi"] else "="
        asked = json.dumps(BOARDS[uid])
        found = re.findall(rf'(!?=~?)\\"\${variable["name"]}\\"', asked)
        assert set(found) <= {equal}, variable["name"]


# --- What must not come back -----------------------------------------------


@pytest.mark.parametrize("uid", BOARDS)
def test_every_panel_says_what_it_means_and_what_emptiness_means(uid: str) -> None:
    """A description in sentences; an empty answer is a word, never a zero and never green."""
    for panel in grafana.panels(BOARDS[uid]):
        assert panel["description"].endswith(".")
        empty = panel["fieldConfig"]["defaults"]["noValue"]
        assert re.match(r"[A-Z]", empty)
        assert not re.search(r"\d|fine|healthy|ok\b", empty, re.IGNORECASE)


@pytest.mark.parametrize("target", grafana.targets("prometheus"), ids=str)
def test_a_share_is_a_sum_of_a_sum_and_nothing_of_nothing(target: Target) -> None:
    """Both sides of a division are added up first, and what is divided by is above 0."""
    for part, whole in promql.divisions(placed(target)):
        assert promql.is_aggregated(part)
        assert promql.is_aggregated(whole)
        counted = any(
            name.endswith(("_total", "_count", "_sum"))
            for selector in promql.selectors(whole)
            for name in selector.metrics
        )
        assert not counted or promql.is_above_zero(whole)


@pytest.mark.parametrize("target", grafana.targets("prometheus"), ids=str)
def test_windows_follow_what_is_shown(target: Target) -> None:
    """A rate over less than the export interval is empty: only Grafana's own windows, or days."""
    windows = set(re.findall(r"\[([^\]]+)\]", target.asked["expr"]))
    assert windows <= {"$__rate_interval", "$__range", "30d", "1d:1m"}
    assert ("$__range" in windows) <= bool(target.asked["instant"])


@pytest.mark.parametrize("uid", BOARDS)
def test_documentation_shows_each_dashboard_and_says_who_drew_it(uid: str) -> None:
    """A picture with a caption that names matplotlib."""
    page = REPOSITORY / "docs" / "how-to" / "dashboards.md"
    found = re.search(rf"!\[.+\]\((\S+/{uid}\.png)\)\n\n\*(.+)\*", page.read_text())
    assert found is not None
    assert (page.parent / found[1]).read_bytes().startswith(b"\x89PNG")
    assert found[2].endswith("drawn by matplotlib, not by Grafana.")


def test_provisioned_folder_is_the_one_that_compose_mounts() -> None:
    """Grafana finds the files where compose.yaml puts them."""
    (provider,) = yaml.safe_load(
        (FOLDER.parent / "provisioning" / "dashboards" / "dashboards.yaml").read_text()
    )["providers"]
    compose = yaml.safe_load((REPOSITORY / "collector" / "compose.yaml").read_text())
    mounts = {each["target"]: each["source"] for each in compose["services"]["grafana"]["volumes"]
              if isinstance(each, dict)}  # fmt: skip
    assert mounts[provider["options"]["path"]] == "./grafana/dashboards"
