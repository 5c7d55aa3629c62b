"""Questions in the form in which Grafana asks them."""

from __future__ import annotations

import json

from etl_telemetry.ops.dashboards.model import Metrics, Panel, Query, Records, Traces
from etl_telemetry.ops.dashboards.sdk import (
    Dataquery,
    UnknownDataquery,
    common,
    elasticsearch,
    prometheus,
)

METRICS = common.DataSourceRef(type_val="prometheus", uid="prometheus")
RECORDS = common.DataSourceRef(type_val="elasticsearch", uid="elasticsearch")
TRACES = common.DataSourceRef(type_val="jaeger", uid="jaeger")
"""The data sources, by the ids that `provisioning/datasources` gives them."""
TIME = "@timestamp"
_MOST_RECORDS = "200"


def source(panel: Panel) -> common.DataSourceRef:
    """Return the data source of a panel."""
    kind = type(panel.queries[0])
    return {Metrics: METRICS, Records: RECORDS, Traces: TRACES}[kind]


def targets(panel: Panel) -> list[Dataquery]:
    """Return what a panel asks, each with a letter of its own."""
    return [
        _target(query, panel, chr(ord("A") + number)) for number, query in enumerate(panel.queries)
    ]


def _target(query: Query, panel: Panel, letter: str) -> Dataquery:
    if isinstance(query, Metrics):
        return _metrics(query, panel, letter)
    if isinstance(query, Records):
        return _records(query, letter)
    return _traces(query, letter)


def _metrics(query: Metrics, panel: Panel, letter: str) -> Dataquery:
    once = panel.now or panel.view == "table"
    form = {
        "table": prometheus.PromQueryFormat.TABLE,
        "heat": prometheus.PromQueryFormat.HEATMAP,
    }.get(panel.view, prometheus.PromQueryFormat.TIME_SERIES)
    return prometheus.Dataquery(
        datasource=METRICS,
        expr=query.expr,
        legend_format="{{le}}" if panel.view == "heat" else query.legend or None,
        format_val=form,
        instant=once,
        range_val=not once,
        exemplar=not once and "_bucket" in query.expr,
        ref_id=letter,
    )


def _records(query: Records, letter: str) -> Dataquery:
    counted = bool(query.by) or query.over_time
    metric: elasticsearch.MetricAggregation = elasticsearch.Count(id_val="1")
    if not counted:
        limit = elasticsearch.ElasticsearchLogsSettings(limit=_MOST_RECORDS)
        metric = elasticsearch.Logs(id_val="1", settings=limit)
    buckets: list[elasticsearch.BucketAggregation] = [
        elasticsearch.Terms(
            field=name,
            id_val=str(number),
            settings=elasticsearch.ElasticsearchTermsSettings(
                order=elasticsearch.TermsOrder.DESC,
                order_by="_count",
                size=str(query.most),
                min_doc_count="1",
            ),
        )
        for number, name in enumerate(query.by, 2)
    ]
    if query.over_time:
        every = elasticsearch.ElasticsearchDateHistogramSettings(interval="auto", min_doc_count="0")
        number = str(len(buckets) + 2)
        buckets.append(elasticsearch.DateHistogram(field=TIME, id_val=number, settings=every))
    return elasticsearch.Dataquery(
        datasource=RECORDS,
        query=query.query,
        time_field=TIME,
        metrics=[metric],
        bucket_aggs=buckets if counted else [],
        ref_id=letter,
    )


def _traces(query: Traces, letter: str) -> Dataquery:
    # The SDK has no model of Jaeger's questions: this is what Grafana's editor writes. Tags are
    # logfmt there, a value with spaces in quotes.
    asked: dict[str, object] = {
        "datasource": TRACES,
        "queryType": "search",
        "service": query.service,
        "tags": " ".join(f"{key}={json.dumps(value)}" for key, value in query.tags.items()),
        "limit": 20,
        "refId": letter,
    }
    if query.operation is not None:
        asked["operation"] = query.operation
    return UnknownDataquery(asked)
