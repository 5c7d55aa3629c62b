"""Dashboards in Grafana's format."""

from __future__ import annotations

import json
from collections.abc import Iterator

from etl_telemetry.ops.dashboards.model import Dashboard, Panel, Row, Variable
from etl_telemetry.ops.dashboards.sdk import JSONEncoder, dashboard
from etl_telemetry.ops.dashboards.targets import METRICS
from etl_telemetry.ops.dashboards.views import panel

_WIDTH = 24
TAGS = ["etl", "platform"]


def text(one: Dashboard) -> str:
    """Return the file of a dashboard: the same text each time."""
    made = json.dumps(model(one), cls=JSONEncoder, indent=1, sort_keys=True)
    return made + "\n"


def model(one: Dashboard) -> dashboard.Dashboard:
    """Return a dashboard in Grafana's own model."""
    others = dashboard.DashboardLink(
        title="ETL platform",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tags=TAGS,
        as_dropdown=True,
        include_vars=True,
        keep_time=True,
    )
    return dashboard.Dashboard(
        uid=one.uid,
        title=one.title,
        description=one.description,
        tags=TAGS,
        timezone="browser",
        editable=False,  # Written by a program: what is changed by hand would be lost.
        graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
        time=dashboard.DashboardDashboardTime(from_val=one.since, to="now"),
        refresh=one.refresh,
        version=1,
        links=[others],
        templating=dashboard.DashboardDashboardTemplating(
            list_val=[_variable(variable) for variable in one.variables]
        ),
        panels=list(_panels(one.rows)),
    )


def _variable(one: Variable) -> dashboard.VariableModel:
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=one.name,
        label=one.label,
        datasource=METRICS,
        query={"query": one.values, "refId": "StandardVariableQuery"},
        definition=one.values,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC,
        multi=one.several,
        include_all=one.several,
        # Not the list of all values, which is long, and without those that have no value.
        all_value=".*" if one.several else None,
        current=dashboard.VariableOption(text=["All"], value=["$__all"]) if one.several else None,
    )


def _panels(rows: tuple[Row, ...]) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
    number, y = 0, 0
    for row in rows:
        number += 1
        place = dashboard.GridPos(h=1, w=_WIDTH, x=0, y=y)
        yield dashboard.RowPanel(title=row.title, id_val=number, grid_pos=place, panels=[])
        y += 1
        for line in _lines(row.panels):
            x = 0
            height = max(one.height for one in line)
            for one in line:
                number += 1
                place = dashboard.GridPos(h=height, w=one.width, x=x, y=y)
                yield panel(one, number, place)
                x += one.width
            y += height


def _lines(panels: tuple[Panel, ...]) -> Iterator[list[Panel]]:
    line: list[Panel] = []
    for one in panels:
        if line and sum(each.width for each in line) + one.width > _WIDTH:
            yield line
            line = []
        line.append(one)
    if line:
        yield line
