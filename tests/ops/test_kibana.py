"""Kibana's saved objects fit together, and name fields that the index templates have."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from etl_telemetry.catalogue import AUDIT_EVENTS, LOG_EVENTS
from etl_telemetry.cli import main
from etl_telemetry.ops import kibana, templates
from etl_telemetry.ops.kibana import saved
from etl_telemetry.ops.thresholds import Thresholds
from support import kibana as files
from support.pages import REPOSITORY

FILE = REPOSITORY / "collector" / "kibana" / "etl.ndjson"
OBJECTS = files.load(FILE)
MAPPINGS = {stream.name: templates.fields(stream) for stream in templates.streams(Thresholds())}
COVERED = {view.id: view.templates for view in kibana.VIEWS}
AGGREGATED = {"keyword", "long", "double", "byte", "date_nanos"}
"""Types that have an order, and can be grouped by."""


def name(each: dict[str, Any]) -> str:
    """Name an object in the list of tests."""
    return f"{each['type']}-{each['id']}"


def views(each: dict[str, Any]) -> set[str]:
    """Return the data views that an object uses."""
    if each["type"] == "index-pattern":
        return {each["id"]}
    return {ref["id"] for ref in each["references"] if ref["type"] == "index-pattern"}


@pytest.mark.parametrize("each", OBJECTS.all, ids=name)
def test_every_reference_resolves_and_is_used(each: dict[str, Any]) -> None:
    """What an object needs is in the file, before it, and no name is left over."""
    place = OBJECTS.all.index(each)
    there = {(other["type"], other["id"]) for other in OBJECTS.all[:place]}
    assert {(ref["type"], ref["id"]) for ref in each["references"]} <= there
    names = [ref["name"] for ref in each["references"]]
    assert len(set(names)) == len(names)
    text = json.dumps(each["attributes"])
    for used in names:
        # A panel's name stands behind its id; those of controls and layers are made of ids.
        known = used.removeprefix("controlGroup_").removesuffix(":optionsListDataView")
        known = known.removeprefix("indexpattern-datasource-layer-").rpartition(":")[2]
        assert known in text, used
    assert set(re.findall(r'(?:indexRefName|panelRefName)\\?": \\?"([^"\\]+)', text)) <= {
        used.rpartition(":")[2] for used in names
    }


@pytest.mark.parametrize("each", OBJECTS.all, ids=name)
def test_every_field_is_in_the_mapping(each: dict[str, Any]) -> None:
    """In that of each stream that the data view covers, also before its first record."""
    fields = files.fields(each)
    # A count of all records names none; everything else does.
    assert fields or each["id"] == "etl-records"
    for view in views(each):
        for template in COVERED[view]:
            assert fields <= MAPPINGS[template].keys(), template


@pytest.mark.parametrize("each", OBJECTS.of("lens").values(), ids=name)
def test_charts_count_and_order_by_fields_that_can_be(each: dict[str, Any]) -> None:
    """Elasticsearch refuses to group by a text."""
    for view in views(each):
        for template in COVERED[view]:
            for field in files.fields(each):
                assert MAPPINGS[template][field] in AGGREGATED, field
    numbers = [
        column["sourceField"]
        for column in files.layer(each)["columns"].values()
        if column["operationType"] in ("sum", "average", "max", "median", "percentile")
    ]
    (view,) = views(each)
    for field in numbers:
        assert {MAPPINGS[template][field] for template in COVERED[view]} <= {"long", "double"}


@pytest.mark.parametrize("each", OBJECTS.of("dashboard").values(), ids=name)
def test_panels_lie_beside_each_other(each: dict[str, Any]) -> None:
    """Each within the page, none over another one."""
    places = [panel["gridData"] for panel in json.loads(each["attributes"]["panelsJSON"])]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= saved.COLUMNS for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one["i"], other["i"])


@pytest.mark.parametrize("each", OBJECTS.of("dashboard").values(), ids=name)
def test_controls_have_the_fields_of_their_version(each: dict[str, Any]) -> None:
    """Kibana 8.9 refuses others: its schema of `controlGroupInput` has these four."""
    assert each["typeMigrationVersion"] == "8.9.0"
    assert each["attributes"]["controlGroupInput"].keys() == {
        "chainingSystem",
        "controlStyle",
        "ignoreParentSettingsJSON",
        "panelsJSON",
    }


def test_events_that_are_asked_for_exist() -> None:
    """A name that is in no catalogue would be a chart that stays empty."""
    text = FILE.read_text()
    logs = set(re.findall(r'\{\\*"match_phrase\\*": \{\\*"event_name\\*": \\*"(\w+)', text))
    audit = set(re.findall(r'\{\\*"match_phrase\\*": \{\\*"body.text.keyword\\*": \\*"(\w+)', text))
    assert {"pipeline_run_finished", "slow_request", "task_lost"} <= logs <= LOG_EVENTS.keys()
    assert {"user_login_failed"} <= audit <= AUDIT_EVENTS.keys()


@pytest.mark.parametrize("board", OBJECTS.of("dashboard"))
def test_documentation_shows_each_dashboard_and_says_who_drew_it(board: str) -> None:
    """A picture with a caption that names matplotlib."""
    page = REPOSITORY / "docs" / "how-to" / "kibana.md"
    found = re.search(rf"!\[.+\]\((\S+/{board}\.png)\)\n\n\*(.+)\*", page.read_text())
    assert found is not None
    assert (page.parent / found[1]).read_bytes().startswith(b"\x89PNG")
    assert found[2].endswith("drawn by matplotlib, not by Kibana.")


def test_ids_stay() -> None:
    """Bookmarks, links from Jaeger and dashboards of others name them: a new name breaks them."""
    assert Counter((each["type"], each["id"]) for each in OBJECTS.all).most_common(1)[0][1] == 1
    assert list(OBJECTS.of("index-pattern")) == ["etl-logs", "etl-errors", "etl-audit"]
    boards = ["etl-errors", "etl-log-volume", "etl-slow-requests", "etl-audit-trail"]
    assert list(OBJECTS.of("dashboard")) == boards


def test_a_data_view_covers_the_streams_of_its_templates() -> None:
    """All records but audit events; errors alone; audit events alone."""
    titles = {id_: each["attributes"]["title"] for id_, each in OBJECTS.of("index-pattern").items()}
    assert titles == {
        "etl-logs": "logs-*,-logs-etl.audit.*",
        "etl-errors": "logs-etl.errors.*",
        "etl-audit": "logs-etl.audit.*",
    }


def test_trace_ids_are_links_to_jaeger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the team: `--jaeger` names its address."""
    words = ["generate", "kibana", "--out", str(tmp_path), "--jaeger", "https://jaeger.example/"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'etl.ndjson'}\n"
    for view in files.load(tmp_path / "etl.ndjson").of("index-pattern").values():
        formats = json.loads(view["attributes"]["fieldFormatMap"])
        address = formats["trace_id"]["params"]["urlTemplate"]
        assert address == "https://jaeger.example/trace/{{rawValue}}"


def test_jaeger_links_to_a_data_view_that_exists() -> None:
    """And to fields that it has."""
    text = (REPOSITORY / "collector" / "jaeger" / "ui.json").read_text()
    links = json.loads(text)["linkPatterns"]
    assert {view for link in links for view in re.findall(r"dataViewId:([\w-]+)", link["url"])} == {
        "etl-logs"
    }
    asked = {field for link in links for field in re.findall(r"query:'([\w.]+):", link["url"])}
    assert asked == {"trace_id", "attributes.pipeline.run.id"}
    assert asked <= MAPPINGS["etl-logs"].keys() & MAPPINGS["etl-errors"].keys()
