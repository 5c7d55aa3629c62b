"""Pictures of Kibana's dashboards for the documentation, drawn from what their searches return.

No Kibana can run here: the numbers are real, the looks are matplotlib's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from support import kibana
from support.kibana import Objects, Request

COLUMNS = 48
INCHES = 0.3
DOTS = 72
HEAD = 2
"""Room for the title, in the dashboard's own unit."""
LINES = 10
"""Rows of a table that are shown."""
LETTERS = 34
"""Letters of a cell that are shown."""
IDENTIFIER = re.compile(r"[0-9a-f-]{32,36}")
TIME = "@timestamp"
Search = Callable[[Request], Mapping[str, Any]]


def draw(
    objects: Objects, board: Mapping[str, Any], search: Search, path: Path, *,
    begin: float, end: float,
) -> None:  # fmt: skip
    """Draw a dashboard into a file."""
    panels = json.loads(board["attributes"]["panelsJSON"])
    height = HEAD + max(panel["gridData"]["y"] + panel["gridData"]["h"] for panel in panels)
    figure = Figure(figsize=(COLUMNS * INCHES, height * INCHES), dpi=DOTS)
    FigureCanvasAgg(figure)
    title = board["attributes"]["title"]
    figure.text(0.01, 1 - 1.5 / height, title, fontsize=13, fontweight="bold")
    for panel in panels:
        saved = objects.of(panel["type"])[panel["panelIndex"]]
        axes = _place(figure, panel["gridData"], height)
        axes.set_title(saved["attributes"]["title"], loc="left", fontsize=9, fontweight="bold")
        if panel["type"] == "search":
            request = kibana.of_search(objects, saved, begin=begin, end=end)
            _table(axes, *_documents(saved, search(request)))
        else:
            request = kibana.of_chart(objects, saved, begin=begin, end=end, interval="10s")
            _chart(axes, saved, kibana.rows(saved, search(request)))
    figure.savefig(path, metadata={"Software": None})


def _place(figure: Figure, place: Mapping[str, int], height: int) -> Axes:
    """Make the axes of a panel, with room for its title and for the words at its axes."""
    left, right, above, below = 2.2, 0.6, 1.6, 2.0
    top = HEAD + place["y"] + above
    tall = place["h"] - above - below
    wide = place["w"] - left - right
    where = (
        (place["x"] + left) / COLUMNS,
        1 - (top + tall) / height,
        wide / COLUMNS,
        tall / height,
    )
    return figure.add_axes(where)


def _chart(axes: Axes, chart: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
    kind = chart["attributes"]["visualizationType"]
    if kind == "lnsMetric":
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"{next(iter(rows[0].values())):,.0f}", fontsize=30, ha="center")
    elif kind == "lnsDatatable":
        _table(axes, list(rows[0]), [[_text(value) for value in row.values()] for row in rows])
    elif any(TIME in row for row in rows):
        _over_time(axes, rows, lines=_is_line(chart))
    else:
        _bars(axes, rows)


def _is_line(chart: Mapping[str, Any]) -> bool:
    return bool(chart["attributes"]["state"]["visualization"]["preferredSeriesType"] == "line")


def _over_time(axes: Axes, rows: list[dict[str, Any]], *, lines: bool) -> None:
    group = next(label for label in rows[0] if label != TIME)
    number = list(rows[0])[-1]
    times = sorted({row[TIME] for row in rows})
    at = [datetime.fromisoformat(time).astimezone(UTC) for time in times]
    below = [0.0] * len(times)
    for name in dict.fromkeys(row[group] for row in rows):
        values = {row[TIME]: row[number] for row in rows if row[group] == name}
        label = "(no value)" if name == kibana.MISSING else str(name)
        if lines:
            found = [(when, values[time]) for when, time in zip(at, times, strict=True)
                     if values.get(time) is not None]  # fmt: skip
            axes.plot([when for when, _ in found], [value for _, value in found], "o-", label=label)
            continue
        heights = [float(values.get(time) or 0) for time in times]
        axes.bar(at, heights, bottom=below, width=8 / 86400, label=label)
        below = [one + other for one, other in zip(below, heights, strict=True)]
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.tick_params(labelsize=7)
    axes.set_ylabel(number, fontsize=7)
    axes.legend(fontsize=6, loc="upper right")


def _bars(axes: Axes, rows: list[dict[str, Any]]) -> None:
    name, number = list(rows[0])
    axes.bar([str(row[name]) for row in rows], [row[number] for row in rows])
    axes.tick_params(axis="x", labelrotation=60, labelsize=6)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_ylabel(number, fontsize=7)


def _table(axes: Axes, labels: list[str], cells: list[list[str]]) -> None:
    axes.set_axis_off()
    table = axes.table(
        [[_short(cell) for cell in row] for row in cells[:LINES]],
        colLabels=[label.removeprefix("attributes.") for label in labels],
        loc="upper left", cellLoc="left", colLoc="left", edges="horizontal",
    )  # fmt: skip
    table.auto_set_font_size(False)  # noqa: FBT003 -- matplotlib's own signature
    table.set_fontsize(7)
    table.auto_set_column_width(list(range(len(labels))))


def _short(cell: str) -> str:
    """Cut a cell: ids to their begin, texts to one line."""
    if IDENTIFIER.fullmatch(cell):
        return f"{cell[:8]}…"
    line = " ".join(cell.split())
    return line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…"


def _documents(
    search: Mapping[str, Any], answer: Mapping[str, Any]
) -> tuple[list[str], list[list[str]]]:
    columns = [TIME, *search["attributes"]["columns"]]
    rows = [
        [hit["_source"][TIME], *(_text(hit["fields"].get(name, ["-"])[0]) for name in columns[1:])]
        for hit in answer["hits"]["hits"]
    ]
    for row in rows:
        row[0] = f"{datetime.fromtimestamp(float(row[0]) / 1000, UTC):%H:%M:%S}"
    return columns, rows


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return "-" if value is None else str(value)
