"""Ask what a Grafana panel asks, with the requests that Grafana's data sources make of it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from support import grafana
from support.grafana import Target
from support.stack.ask import http
from support.stack.ask.elasticsearch import ElasticsearchApi
from support.stack.ask.prometheus import PrometheusApi

Series = list[tuple[dict[str, str], list[tuple[float, float]]]]
"""For each series its labels, and its values by Unix time."""
WINDOW = "240s"
"""`$__rate_interval`: four times the `timeInterval` of the data source."""
STEP = 15.0
"""Seconds between the points of a line."""
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks at dashboards: at which time range, with what chosen."""

    prometheus: PrometheusApi
    """Where metrics are."""
    elasticsearch: ElasticsearchApi
    """Where records are."""
    jaeger: str
    """Address of Jaeger."""
    start: float
    """Begin of the time range, Unix time."""
    end: float
    """Its end."""
    chosen: Mapping[str, str]
    """Values of variables; of others all are chosen."""

    def choosing(self, **values: str) -> Viewer:
        """Return the same with these values chosen."""
        return dataclasses.replace(self, chosen={**self.chosen, **values})

    def answer(self, target: Target) -> Any:
        """Return what the source of a question answers, in the form that the panel shows."""
        if target.source == "prometheus":
            return self.metrics(target)
        if target.source == "elasticsearch":
            return self.records(target)
        return self.traces(target)

    def metrics(self, target: Target) -> Series:
        """Return the series of a question to Prometheus, without what is no number."""
        expression = self._put_in(target.asked["expr"])
        if target.asked["instant"]:
            samples = self.prometheus.query(expression, at=self.end)
            found = [(dict(s.labels), [(self.end, s.value)]) for s in samples]
        else:
            found = self.prometheus.range(expression, start=self.start, end=self.end, step=STEP)
        shown = ((labels, [v for v in points if math.isfinite(v[1])]) for labels, points in found)
        return [(labels, points) for labels, points in shown if points]

    def records(self, target: Target) -> list[dict[str, Any]]:
        """Return the rows of a question to Elasticsearch: documents, or values with `Count`."""
        asked = target.asked
        within = {"gte": int(self.start * 1000), "lte": int(self.end * 1000)}
        query = {
            "bool": {
                "filter": [
                    {"range": {asked["timeField"]: {**within, "format": "epoch_millis"}}},
                    {
                        "query_string": {
                            "analyze_wildcard": True,
                            "query": self._put_in(asked["query"]),
                        }
                    },
                ]
            }
        }
        if not asked["bucketAggs"]:
            limit = int(asked["metrics"][0]["settings"]["limit"])
            sort = [{asked["timeField"]: {"order": "desc", "unmapped_type": "boolean"}}]
            found = self.elasticsearch.search("logs-*", query=query, size=limit, sort=sort)
            return [hit["_source"] for hit in found["hits"]["hits"]]
        aggregations: dict[str, Any] = {}
        for bucket in reversed(asked["bucketAggs"]):
            inner = {"aggs": aggregations} if aggregations else {}
            aggregations = {bucket["id"]: {**self._bucket(bucket), **inner}}
        found = self.elasticsearch.search("logs-*", query=query, size=0, aggs=aggregations)
        return list(_rows(found["aggregations"], asked["bucketAggs"]))

    def traces(self, target: Target) -> list[dict[str, Any]]:
        """Return the traces of a question to Jaeger, by the search that Grafana uses."""
        asked = target.asked
        pairs = (word.partition("=") for word in shlex.split(self._put_in(asked["tags"])))
        parameters = {
            "service": self._put_in(asked["service"]),
            "tags": json.dumps({key: value for key, _, value in pairs}),
            "limit": asked["limit"],
            "start": int(self.start * 1e6),
            "end": int(self.end * 1e6),
        }
        if "operation" in asked:
            parameters["operation"] = self._put_in(asked["operation"])
        return list(http.get(f"{self.jaeger}/api/traces", **parameters)["data"])

    def values(self, variable: Mapping[str, Any]) -> list[str]:
        """Return what can be chosen of a variable."""
        found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert found is not None
        parameters = {"match[]": self._put_in(found[1]), "start": self.start, "end": self.end}
        url = f"{self.prometheus.url}/api/v1/label/{found[2]}/values"
        return list(http.get(url, **parameters)["data"])

    def _put_in(self, text: str) -> str:
        everything = dict.fromkeys(grafana.variables_in(text), ".*")
        seconds = math.ceil(self.end - self.start)
        windows = {"__rate_interval": WINDOW, "__range": f"{seconds}s"}
        return grafana.put_in(text, {**everything, **windows, **self.chosen})

    def _bucket(self, bucket: Mapping[str, Any]) -> dict[str, Any]:
        settings = bucket["settings"]
        if bucket["type"] == "terms":
            order = {settings["orderBy"]: settings["order"]}
            terms = {"field": bucket["field"], "size": int(settings["size"]), "order": order}
            return {"terms": {**terms, "min_doc_count": int(settings["min_doc_count"])}}
        every = f"{int(STEP * 1000)}ms"
        return {"date_histogram": {"field": bucket["field"], "fixed_interval": every}}


def _rows(found: Mapping[str, Any], buckets: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return one row for each combination of values, with how many documents have it."""
    first, *others = buckets
    for bucket in found[first["id"]]["buckets"]:
        own = {first["field"]: bucket["key"]}
        if others:
            yield from ({**own, **row} for row in _rows(bucket, others))
        elif bucket["doc_count"]:
            yield {**own, "Count": bucket["doc_count"]}
