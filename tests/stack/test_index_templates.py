"""The index templates on a real Elasticsearch: put by the script, and robust against any record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.stack import Elasticsearch
from support.stack.ask import http
from support.stack.product import PRODUCT

SCRIPT = PRODUCT / "elasticsearch" / "apply.py"
NAMES = ["etl-audit", "etl-errors", "etl-logs", "etl-traces"]
LOGS = "logs-generic.otel-default"
ERRORS = "logs-etl.errors.otel-default"
AUDIT = "logs-etl.audit.otel-default"
NOW = "2026-11-25T08:00:00Z"


def apply(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    """Start a node, without templates but those that the script puts."""
    engine = Elasticsearch(tmp_path_factory.mktemp("templates"))
    engine.templates = tmp_path_factory.mktemp("none")
    with engine:
        done = apply(engine.address("http"))
        assert (done.returncode, done.stdout.split(), done.stderr) == (0, NAMES, "")
        yield engine


def put(elasticsearch: Elasticsearch, stream: str, **attributes: Any) -> dict[str, Any]:
    """Index a record; return what Elasticsearch answers."""
    document = {"@timestamp": NOW, "attributes": attributes}
    url = f"{elasticsearch.address('http')}/{stream}/_doc?refresh=true"
    answer: dict[str, Any] = http.send("POST", url, document)
    return answer


def test_script_may_be_repeated(elasticsearch: Elasticsearch) -> None:
    """To put them again is harmless."""
    assert apply(elasticsearch.address("http")).returncode == 0


@pytest.mark.parametrize(
    ("name", "kept"),
    [("etl-logs", "30d"), ("etl-errors", "90d"), ("etl-audit", "400d"), ("etl-traces", "14d")],
)
def test_each_stream_has_its_own_retention(
    name: str, kept: str, elasticsearch: Elasticsearch
) -> None:
    """Elasticsearch has taken how long documents are kept."""
    found = http.get(f"{elasticsearch.address('http')}/_index_template/{name}")
    (template,) = (each["index_template"]["template"] for each in found["index_templates"])
    assert template["lifecycle"]["data_retention"] == kept


def test_audit_records_get_the_audit_template(elasticsearch: Elasticsearch) -> None:
    """Both patterns fit the audit stream; the one with the longer retention wins."""
    put(elasticsearch, AUDIT, **{"audit.details": {"a": {"b": "c"}}})
    mapping = elasticsearch.ask.mapping(AUDIT)
    assert mapping["attributes"]["properties"]["audit.details"]["type"] == "flattened"


def test_number_and_text_under_one_name_are_both_kept(elasticsearch: Elasticsearch) -> None:
    """Two loggers may mean different things: the record that came second is not refused."""
    put(elasticsearch, LOGS, rows=3, ratio=0.5)
    assert put(elasticsearch, LOGS, rows="many", ratio="x")["result"] == "created"
    found = elasticsearch.ask.search(LOGS, aggs={"sum": {"sum": {"field": "attributes.rows"}}})
    assert found["aggregations"]["sum"]["value"] == 3
    properties = elasticsearch.ask.mapping(LOGS)["attributes"]["properties"]
    assert (properties["rows"]["type"], properties["ratio"]["type"]) == ("long", "double")


@pytest.mark.parametrize(
    ("first", "second"),
    [({"a": "b"}, "text"), ("text", {"a": "b"}), ([{"a": 1}], "text"), (1, [{"a": 1}])],
)
def test_map_and_text_under_one_name_are_both_kept(
    first: object, second: object, elasticsearch: Elasticsearch
) -> None:
    """Whichever comes first: a map is kept in the document and not indexed."""
    elasticsearch.ask.delete_data_streams("logs-*")
    put(elasticsearch, LOGS, own=first)
    assert put(elasticsearch, LOGS, own=second)["result"] == "created"
    found = [each["attributes"]["own"] for each in elasticsearch.ask.documents(LOGS)]
    assert found == [first, second]


def test_a_name_may_be_the_beginning_of_another(elasticsearch: Elasticsearch) -> None:
    """`error` and `error.type` are two attributes, not a value and an object."""
    put(elasticsearch, LOGS, error="yes")
    assert put(elasticsearch, LOGS, **{"error.type": "KeyError"})["result"] == "created"
    assert elasticsearch.ask.terms(LOGS, "attributes.error.type") == {"KeyError": 1}


def fields(mapping: dict[str, Any]) -> int:
    """Count fields as Elasticsearch does for its limit: objects and fields inside of them too."""
    return sum(
        1 + fields(each.get("properties", {})) + fields(each.get("fields", {}))
        for each in mapping.values()
    )


@pytest.mark.parametrize("stream", [LOGS, ERRORS, AUDIT])
def test_endless_new_names_do_not_explode_the_mapping(
    stream: str, elasticsearch: Elasticsearch
) -> None:
    """Of 2,000 names of an application none costs a record, and the number of fields is bounded."""
    elasticsearch.ask.delete_data_streams("logs-*")
    for batch in range(4):
        names = {f"key_{batch}_{number}": number for number in range(500)}
        assert put(elasticsearch, stream, **names)["result"] == "created"
    assert len(elasticsearch.ask.documents(stream)) == 4
    assert fields(elasticsearch.ask.mapping(stream)) <= 1_000


def test_fields_of_the_catalogue_are_indexed_when_the_limit_is_reached(
    elasticsearch: Elasticsearch,
) -> None:
    """They are in the mapping before any name of the application."""
    elasticsearch.ask.delete_data_streams("logs-*")
    for batch in range(4):
        put(elasticsearch, LOGS, **{f"key_{batch}_{number}": number for number in range(500)})
    put(elasticsearch, LOGS, **{"pipeline.name": "flights-aa", "task.duration": 0.5, "mine": "x"})
    assert elasticsearch.ask.terms(LOGS, "attributes.pipeline.name") == {"flights-aa": 1}
    assert elasticsearch.ask.terms(LOGS, "attributes.mine") == {}


TYPES = ({"a": {"b": 1}}, "text", 7, 0.5, True, None, [], [1, "two"], [{"a": 1}], "2026-11-25")
"""What two loggers can mean by one name."""


@pytest.mark.parametrize("name", ["own", "pipeline.name", "duration", "task.duration", "user.id"])
def test_no_order_of_types_costs_a_record(name: str, elasticsearch: Elasticsearch) -> None:
    """Each type after each other one, under a name of the application or of the catalogue."""
    elasticsearch.ask.delete_data_streams("logs-*")
    values = [*TYPES, *reversed(TYPES)]
    bodies = [{"@timestamp": NOW, "attributes": {name: value}} for value in values]
    lines = [json.dumps(line) for body in bodies for line in ({"create": {}}, body)]
    url = f"{elasticsearch.address('http')}/{LOGS}/_bulk?refresh=true"
    answer = http.send_lines("POST", url, lines)
    assert [item["create"]["status"] for item in answer["items"]] == [201] * len(values)
    kept = [each["attributes"][name] for each in elasticsearch.ask.documents(LOGS)]
    assert sorted(map(repr, kept)) == sorted(map(repr, values))


def test_long_text_is_kept_and_not_indexed_as_a_word(elasticsearch: Elasticsearch) -> None:
    """Lucene refuses a term of more than 32 KB; the record must not be refused with it."""
    assert put(elasticsearch, LOGS, long="x" * 100_000)["result"] == "created"


def test_script_says_that_nobody_is_there() -> None:
    """The address that was tried is in the message."""
    done = apply("http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("Elasticsearch at http://127.0.0.1:9 was not reached: ")


def test_script_says_what_elasticsearch_refused(
    elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    """The answer is in the message, with the address."""
    (tmp_path / "index-templates").mkdir()
    (tmp_path / "index-templates" / "bad.json").write_text('{"index_patterns": []}')
    copy = tmp_path / "apply.py"
    copy.write_bytes(SCRIPT.read_bytes())
    url = elasticsearch.address("http")
    done = subprocess.run(
        [sys.executable, str(copy), url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Elasticsearch at {url} refused: 400 ")
