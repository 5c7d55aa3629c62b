"""Index templates have the fields of the catalogue, each with a type that fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etl_telemetry import catalogue
from etl_telemetry.cli import main
from etl_telemetry.ops import templates
from etl_telemetry.ops.templates import Stream
from etl_telemetry.ops.thresholds import Thresholds

STREAMS = {stream.name: stream for stream in templates.streams(Thresholds())}
SAFE = {"keyword", "text", "long", "double", "byte", "date_nanos", "flattened"}
"""Types that every distribution of Elasticsearch has, and OpenSearch, too."""


@pytest.mark.parametrize("name", ["etl-logs", "etl-errors"])
def test_every_field_of_a_log_event_is_in_the_mapping(name: str) -> None:
    """Except bare words, which an application may use in another sense."""
    fields = templates.fields(STREAMS[name])
    named = {field for event in catalogue.LOG_EVENTS.values() for field in event.fields}
    missing = {field for field in named if f"attributes.{field}" not in fields}
    assert "pipeline.name" in named
    assert {field for field in missing if "." in field} == set()


def test_every_field_of_an_audit_event_is_in_the_mapping() -> None:
    """And its name can be grouped by."""
    fields = templates.fields(STREAMS["etl-audit"])
    assert {f"attributes.{field}" for field in catalogue.AUDIT_FIELDS} <= set(fields)
    assert fields["body.text.keyword"] == "keyword"


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_mapping_takes_any_record(stream: Stream) -> None:
    """What does not fit is kept, new fields are bounded, and no type is special."""
    body = json.loads(json.dumps(templates.template(stream)))["template"]
    assert body["settings"]["index"]["mapping"] == {
        "total_fields": {"limit": 1000, "ignore_dynamic_beyond_limit": True},
        "ignore_malformed": True,
    }
    assert body["mappings"]["dynamic"] is False
    assert set(templates.fields(stream).values()) <= SAFE
    assert len(templates.fields(stream)) < 100


def test_a_team_sets_its_own_retention(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each stream has one, in days."""
    words = ["generate", "index-templates", "--out", str(tmp_path), "--set", "errors_days=365"]
    assert main(words) == 0
    names = ["etl-audit", "etl-errors", "etl-logs", "etl-traces"]
    assert capsys.readouterr().out == "".join(f"{tmp_path / name}.json\n" for name in names)
    bodies = [json.loads((tmp_path / f"{name}.json").read_text()) for name in names]
    kept = [body["template"]["lifecycle"]["data_retention"] for body in bodies]
    assert kept == ["400d", "365d", "30d", "14d"]


def test_the_more_special_template_wins() -> None:
    """Errors and audit events match the pattern of all log records, too."""
    special = (STREAMS["etl-audit"], STREAMS["etl-errors"])
    assert {stream.priority for stream in special} == {300}
    assert STREAMS["etl-logs"].priority == 200
