"""Panels in Grafana's format: which panel type a view is, with its options."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.model import Limits, Panel
from etl_telemetry.ops.dashboards.sdk import (
    bargauge,
    common,
    dashboard,
    heatmap,
    logs,
    stat,
    table,
    timeseries,
)
from etl_telemetry.ops.dashboards.targets import source, targets

_TYPES = {
    "lines": "timeseries", "share": "timeseries", "value": "stat", "levels": "bargauge",
    "table": "table", "heat": "heatmap", "records": "logs",
}  # fmt: skip
_PIPELINE = (
    "/d/etl-pipeline?var-pipeline=${__value.raw}&${environment:queryparam}&${__url_time_range}"
)
_WHOSE = "&var-organization=${__data.fields.Organization}"
_LAST = common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="")


def panel(one: Panel, number: int, place: dashboard.GridPos) -> dashboard.Panel:
    """Return a panel with its id and its place."""
    return dashboard.Panel(
        type_val=_TYPES[one.view],
        id_val=number,
        title=one.title,
        description=one.description,
        datasource=source(one),
        targets=targets(one),
        grid_pos=place,
        options=_options(one),
        field_config=dashboard.FieldConfigSource(
            defaults=_defaults(one), overrides=_overrides(one)
        ),
        transformations=_columns(one) if one.view == "table" else None,
    )


def _defaults(one: Panel) -> dashboard.FieldConfig:
    coloured = one.view in {"value", "levels", "table"}
    mode = dashboard.FieldColorModeId
    share = one.unit == "percentunit" and one.view in {"lines", "levels"}
    return dashboard.FieldConfig(
        unit=one.unit,
        decimals=one.decimals,
        min_val=0.0 if one.view in {"lines", "share", "levels"} else None,
        max_val=1.0 if share else None,
        thresholds=_thresholds(one.limits),
        color=dashboard.FieldColor(
            mode=mode.THRESHOLDS if coloured else mode.PALETTE_CLASSIC_BY_NAME
        ),
        no_value=one.empty,
        custom=_custom(one),
    )


def _custom(one: Panel) -> object:
    if one.view == "table":
        return common.TableFieldOptions(align=common.FieldTextAlignment.AUTO)
    if one.view not in {"lines", "share"}:
        return heatmap.FieldConfig() if one.view == "heat" else None
    stacked = one.view == "share"
    limit = "DASHED" if one.limits and not stacked else "OFF"
    return timeseries.FieldConfig(
        draw_style=common.GraphDrawStyle.LINE,
        line_width=1.0,
        fill_opacity=60.0 if stacked else 10.0,
        show_points=common.VisibilityMode.AUTO,
        # A gap is shown as a gap: nobody knows what was there.
        span_nulls=False,
        stacking=common.StackingConfig(
            mode=common.StackingMode.NORMAL if stacked else common.StackingMode.NONE, group="A"
        ),
        thresholds_style=common.GraphThresholdsStyleConfig(
            mode=common.GraphThresholdsStyleMode[limit]
        ),
    )


def _options(one: Panel) -> object:
    match one.view:
        case "value":
            graph = common.BigValueGraphMode
            return stat.Options(
                graph_mode=graph.NONE if one.now else graph.AREA,
                color_mode=common.BigValueColorMode.VALUE,
                reduce_options=_LAST,
            )
        case "levels":
            return bargauge.Options(
                display_mode=common.BarGaugeDisplayMode.BASIC,
                orientation=common.VizOrientation.HORIZONTAL,
                reduce_options=_LAST,
            )
        case "table":
            return table.Options(sort_by=_sorted(one))
        case "heat":
            return _heat(one.unit)
        case "records":
            return logs.Options(
                show_time=True,
                wrap_log_message=True,
                enable_log_details=True,
                sort_order=common.LogsSortOrder.DESCENDING,
                dedup_strategy=common.LogsDedupStrategy.NONE,
            )
        case _:
            return _over_time()


def _sorted(one: Panel) -> list[common.TableSortByFieldState]:
    if one.sort is None:
        return []
    return [common.TableSortByFieldState(display_name=one.sort, desc=not one.least_first)]


def _heat(unit: str) -> heatmap.Options:
    return heatmap.Options(
        calculate=False,
        color=heatmap.HeatmapColorOptions(
            mode=heatmap.HeatmapColorMode.SCHEME, scheme="Blues", fill="dark-blue",
            exponent=0.5, steps=64,
        ),
        y_axis=heatmap.YAxisConfig(unit=unit),
        tooltip=heatmap.HeatmapTooltip(mode=common.TooltipDisplayMode.SINGLE),
        exemplars=heatmap.ExemplarConfig(color="orange"),
        legend=heatmap.HeatmapLegend(show=True),
    )  # fmt: skip


def _over_time() -> timeseries.Options:
    return timeseries.Options(
        legend=common.VizLegendOptions(
            display_mode=common.LegendDisplayMode.TABLE,
            placement=common.LegendPlacement.BOTTOM,
            show_legend=True,
            calcs=["lastNotNull", "max"],
        ),
        tooltip=common.VizTooltipOptions(
            mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING
        ),
    )


def _columns(one: Panel) -> list[dashboard.DataTransformerConfig]:
    """Join the answers of a table by their labels, name its columns and leave out the others."""
    steps: list[tuple[str, dict[str, object]]] = []
    if len(one.queries) > 1:
        steps.append(("merge", {}))
    if one.columns:
        names = [column.field for column in one.columns]
        organized = {
            "excludeByName": {},
            "indexByName": {name: number for number, name in enumerate(names)},
            "renameByName": {column.field: column.title for column in one.columns},
        }
        steps += [
            ("filterFieldsByName", {"include": {"names": names}}),
            ("organize", organized),
        ]
    return [dashboard.DataTransformerConfig(id_val=name, options=how) for name, how in steps]


def _overrides(one: Panel) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """Give columns units and colours of their own; lead from a pipeline to its dashboard."""
    found = []
    for column in one.columns:
        own: dict[str, object] = {}
        if column.unit is not None:
            own["unit"] = column.unit
        if column.limits:
            own["thresholds"] = _thresholds(column.limits)
            own["custom.cellOptions"] = common.TableColorTextCellOptions()
        if column.field == "pipeline_name":
            whose = _WHOSE if any(each.title == "Organization" for each in one.columns) else ""
            own["links"] = [{"title": "Pipeline detail", "url": _PIPELINE + whose}]
        if own:
            found.append(
                dashboard.DashboardFieldConfigSourceOverrides(
                    matcher=dashboard.MatcherConfig(id_val="byName", options=column.title),
                    properties=[
                        dashboard.DynamicConfigValue(id_val=name, value=value)
                        for name, value in own.items()
                    ],
                )
            )
    return found


def _thresholds(limits: Limits) -> dashboard.ThresholdsConfig:
    # Without limits nothing says that a number is good: no green.
    first = dashboard.Threshold(value=None, color="green" if limits else "text")
    return dashboard.ThresholdsConfig(
        mode=dashboard.ThresholdsMode.ABSOLUTE,
        steps=[first, *(dashboard.Threshold(value=value, color=name) for value, name in limits)],
    )
