"""A chart as the state that Lens saves."""

from __future__ import annotations

from collections.abc import Mapping

from etl_telemetry.ops.kibana.model import Chart, DataView, Filter, Group, Measure
from etl_telemetry.ops.templates.mapping import TIMESTAMP

Reference = Mapping[str, str]
Column = dict[str, object]

LAYER = "layer"
TIME = "time"
_KINDS = {"number": "lnsMetric", "bars": "lnsXY", "table": "lnsDatatable"}


def reference(name: str, view: DataView) -> Reference:
    """Return how an object names the data view that it needs."""
    return {"id": view.id, "name": name, "type": "index-pattern"}


def lens_state(chart: Chart) -> tuple[str, dict[str, object], list[Reference]]:
    """Return kind, state and references of a chart."""
    columns = _columns(chart)
    layer = {
        "columnOrder": list(columns),
        "columns": columns,
        "ignoreGlobalFilters": False,
        "incompleteColumns": {},
        "sampling": 1,
    }
    state: dict[str, object] = {
        "adHocDataViews": {},
        "datasourceStates": {"formBased": {"layers": {LAYER: layer}}},
        "filters": [_filter(each, number) for number, each in enumerate(chart.filters)],
        "internalReferences": [],
        "query": {"language": "kuery", "query": ""},
        "visualization": _visualization(chart, list(columns)),
    }
    references = [reference(f"indexpattern-datasource-layer-{LAYER}", chart.view)]
    references += [reference(_name_of(number), chart.view) for number in range(len(chart.filters))]
    return _KINDS[chart.shape], state, references


def _columns(chart: Chart) -> dict[str, Column]:
    """Return the columns by id, in the order in which Lens nests them."""
    split = {f"group-{number}": _terms(each) for number, each in enumerate(chart.groups)}
    time: dict[str, Column] = {TIME: _over_time()} if chart.over_time else {}
    numbers = {f"measure-{number}": _measure(each) for number, each in enumerate(chart.measures)}
    return {**split, **time, **numbers}


def _over_time() -> Column:
    return {
        "dataType": "date",
        "isBucketed": True,
        "label": TIMESTAMP,
        "operationType": "date_histogram",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
        "scale": "interval",
        "sourceField": TIMESTAMP,
    }


def _terms(group: Group) -> Column:
    return {
        "customLabel": True,
        "dataType": "number" if group.numeric else "string",
        "isBucketed": True,
        "label": group.label,
        "operationType": "terms",
        "params": {
            "size": group.size,
            "orderBy": {"type": "column", "columnId": "measure-0"},
            "orderDirection": "desc",
            "otherBucket": False,
            "missingBucket": group.missing,
            "parentFormat": {"id": "terms"},
            "include": [],
            "exclude": [],
            "includeIsRegex": False,
            "excludeIsRegex": False,
        },
        "scale": "ordinal",
        "sourceField": group.field,
    }


def _measure(measure: Measure) -> Column:
    percentile = {"percentile": measure.percent} if measure.operation == "percentile" else {}
    return {
        "customLabel": True,
        "dataType": "number",
        "isBucketed": False,
        "label": measure.label,
        "operationType": measure.operation,
        # No records are nothing, never a zero that looks like health.
        "params": {"emptyAsNull": True, **percentile},
        "scale": "ratio",
        "sourceField": measure.field or "___records___",
    }


def _visualization(chart: Chart, columns: list[str]) -> dict[str, object]:
    where = {"layerId": LAYER, "layerType": "data"}
    measures = [column for column in columns if column.startswith("measure-")]
    groups = [column for column in columns if column.startswith("group-")]
    if chart.shape == "number":
        return {**where, "metricAccessor": measures[0]}
    if chart.shape == "table":
        return {**where, "columns": [{"columnId": each, "isTransposed": False} for each in columns]}
    series = "bar_stacked" if chart.measures[0].operation == "count" else "line"
    layer: dict[str, object] = {**where, "seriesType": series, "accessors": measures}
    layer["xAccessor"] = TIME if chart.over_time else groups.pop(0)
    if groups:
        layer["splitAccessor"] = groups[0]
    return {
        "preferredSeriesType": series,
        "layers": [layer],
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": True, "yRight": True},
    }


def _filter(each: Filter, number: int) -> dict[str, object]:
    about = {**each.meta(), "field": each.field, "key": each.field, "index": _name_of(number)}
    return {"$state": {"store": "appState"}, "meta": about, "query": each.query()}


def _name_of(number: int) -> str:
    return f"filter-index-pattern-{number}"
