"""Saved objects of Kibana as their file has them, and the searches that Kibana would send for them.

Charts are translated as Kibana does it: each column of a Lens layer is an aggregation, buckets are
nested in the order of the columns, filters are sent in their own words. Nothing but what is here is
allowed in a saved object, so that nothing of it is left out of a search.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_QUERY = {"language": "kuery", "query": ""}
RECORDS = "___records___"
MISSING = "__missing__"
METRICS = {
    "sum": "sum", "average": "avg", "max": "max", "unique_count": "cardinality",
    "median": "percentiles", "percentile": "percentiles",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One search of Elasticsearch."""

    index: str
    """Pattern of the data view."""
    body: dict[str, Any]
    """What is asked."""


@dataclass(frozen=True, slots=True)
class Objects:
    """All saved objects of a file."""

    all: tuple[dict[str, Any], ...]
    """In the order of the file."""

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the objects of a kind by id."""
        return {each["id"]: each for each in self.all if each["type"] == kind}

    def index(self, owner: Mapping[str, Any], name: str) -> str:
        """Return the pattern of the data view that an object names."""
        (id_,) = (each["id"] for each in owner["references"] if each["name"] == name)
        return str(self.of("index-pattern")[id_]["attributes"]["title"])


def load(path: Path) -> Objects:
    """Read a file."""
    return Objects(tuple(json.loads(line) for line in path.read_text().splitlines()))


def within(begin: float, end: float) -> dict[str, Any]:
    """Return the time range of a page."""
    times = {"gte": round(begin * 1000), "lte": round(end * 1000), "format": "epoch_millis"}
    return {"range": {"@timestamp": times}}


def layer(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one layer of a Lens chart."""
    (found,) = chart["attributes"]["state"]["datasourceStates"]["formBased"]["layers"].values()
    return dict(found)


def ordered(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a Lens chart by id, in the order in which they are nested."""
    found = layer(chart)
    assert sorted(found["columnOrder"]) == sorted(found["columns"])
    return {id_: found["columns"][id_] for id_ in found["columnOrder"]}


def of_chart(
    objects: Objects, chart: Mapping[str, Any], *, begin: float, end: float, interval: str = "30s"
) -> Request:
    """Return the search behind a chart."""
    state = chart["attributes"]["state"]
    assert state["query"] == NO_QUERY
    (name,) = state["datasourceStates"]["formBased"]["layers"]
    columns = ordered(chart)
    filters = [within(begin, end), *(each["query"] for each in state["filters"])]
    body: dict[str, Any] = {
        "size": 0,
        "track_total_hits": True,
        "query": {"bool": {"filter": filters}},
        "aggs": _aggregations(list(columns.items()), columns, interval),
    }
    return Request(objects.index(chart, f"indexpattern-datasource-layer-{name}"), body)


def of_search(objects: Objects, search: Mapping[str, Any], *, begin: float, end: float) -> Request:
    """Return the search behind a table of records."""
    attributes = search["attributes"]
    source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
    assert source["query"] == NO_QUERY
    filters = [within(begin, end), *(each["query"] for each in source["filter"])]
    body = {
        "size": 500,
        "track_total_hits": True,
        "query": {"bool": {"filter": filters}},
        "sort": [{field: order} for field, order in attributes["sort"]],
        "fields": attributes["columns"],
    }
    return Request(objects.index(search, source["indexRefName"]), body)


def controls(objects: Objects, board: Mapping[str, Any]) -> Iterator[tuple[str, Request]]:
    """Yield each control of a dashboard: its field, and the search for what can be chosen."""
    chosen = json.loads(board["attributes"]["controlGroupInput"]["panelsJSON"])
    for id_, control in chosen.items():
        field = control["explicitInput"]["fieldName"]
        aggregations = {"suggestions": {"terms": {"field": field, "size": 10}}}
        index = objects.index(board, f"controlGroup_{id_}:optionsListDataView")
        yield field, Request(index, {"size": 0, "aggs": aggregations})


def rows(chart: Mapping[str, Any], answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a chart shows, as a table: the value of each column by its label."""
    # Without buckets all records are one.
    every = {**answer.get("aggregations", {}), "doc_count": answer["hits"]["total"]["value"]}
    return list(_rows(list(ordered(chart).items()), every))


def fields(saved: Mapping[str, Any]) -> set[str]:
    """Return every field that an object names."""
    attributes = saved["attributes"]
    if saved["type"] == "lens":
        named = {column["sourceField"] for column in layer(saved)["columns"].values()} - {RECORDS}
        return named | _filtered(attributes["state"]["filters"])
    if saved["type"] == "search":
        source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
        sorted_by = {field for field, _ in attributes["sort"]}
        return {*attributes["columns"], *sorted_by, *_filtered(source["filter"])}
    if saved["type"] == "dashboard":
        chosen = json.loads(attributes["controlGroupInput"]["panelsJSON"]).values()
        return {control["explicitInput"]["fieldName"] for control in chosen}
    return {attributes["timeFieldName"], *json.loads(attributes["fieldFormatMap"])}


def _filtered(filters: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for each in filters:
        named = set(_leaves(each["query"]))
        assert named == {each["meta"]["key"]} == {each["meta"]["field"]}
        found |= named
    return found


def _leaves(query: Mapping[str, Any]) -> Iterator[str]:
    ((kind, inner),) = query.items()
    if kind == "bool":
        for each in inner["should"]:
            yield from _leaves(each)
    elif kind == "exists":
        yield inner["field"]
    else:
        assert kind in ("match_phrase", "range")
        yield from inner


def _aggregations(
    left: list[tuple[str, dict[str, Any]]], columns: Mapping[str, Any], interval: str
) -> dict[str, Any]:
    (id_, column), *rest = left
    if not column["isBucketed"]:
        return {name: _metric(each) for name, each in left if each["operationType"] != "count"}
    inner = _aggregations(rest, columns, interval)
    if column["operationType"] == "date_histogram":
        given = {"field": column["sourceField"], "fixed_interval": interval, "min_doc_count": 0}
        return {id_: {"date_histogram": given, "aggs": inner}}
    assert column["operationType"] == "terms"
    by, order = _order(column, columns)
    # What the values are ranked by is asked beside what is nested deeper.
    ranking = {} if order == "_count" else {by: _metric(columns[by])}
    terms = {"field": column["sourceField"], "size": column["params"]["size"]}
    terms["order"] = {order: column["params"]["orderDirection"]}
    if column["params"]["missingBucket"]:
        terms["missing"] = MISSING
    return {id_: {"terms": terms, "aggs": {**inner, **ranking}}}


def _order(column: Mapping[str, Any], columns: Mapping[str, Any]) -> tuple[str, str]:
    by = column["params"]["orderBy"]["columnId"]
    operation = columns[by]["operationType"]
    if operation == "count":
        return by, "_count"
    return by, f"{by}.{_percent(columns[by]):g}" if METRICS[operation] == "percentiles" else by


def _metric(column: Mapping[str, Any]) -> dict[str, Any]:
    kind = METRICS[column["operationType"]]
    percents = {"percents": [_percent(column)]} if kind == "percentiles" else {}
    return {kind: {"field": column["sourceField"], **percents}}


def _percent(column: Mapping[str, Any]) -> float:
    return float(column["params"].get("percentile", 50))


def _rows(
    left: list[tuple[str, dict[str, Any]]], found: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    (id_, column), *rest = left
    if column["isBucketed"]:
        for bucket in found[id_]["buckets"]:
            for row in _rows(rest, bucket):
                yield {column["label"]: bucket.get("key_as_string", bucket["key"]), **row}
    else:
        yield {each["label"]: _value(each, found, name) for name, each in left}


def _value(column: Mapping[str, Any], found: Mapping[str, Any], name: str) -> Any:
    if column["operationType"] == "count":
        return found["doc_count"]
    inner = found[name]
    return next(iter(inner["values"].values())) if "values" in inner else inner["value"]
