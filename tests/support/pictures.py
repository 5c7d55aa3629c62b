"""Draw what a dashboard asked and what came back, where no Grafana can: by matplotlib.

Place, title, unit and kind of each panel are those of the dashboard's file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

COLUMN, LINE, DOTS = 0.6, 0.34, 75
"""Inches of a column and of a line of the dashboard's grid; dots an inch."""
MOST = 9
"""How many rows, lines of a legend and records are drawn."""
COLOURS = 64
Answers = Mapping[tuple[int, str], Any]
"""What came back, by the id of the panel and the letter of the question."""


def draw(board: Mapping[str, Any], answers: Answers, path: Path) -> None:
    """Draw a dashboard into a PNG."""
    panels = board["panels"]
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * COLUMN, lines * LINE
    figure = Figure(figsize=(width, height), dpi=DOTS, facecolor="#f4f5f5")
    canvas = FigureCanvasAgg(figure)
    for panel in panels:
        at = panel["gridPos"]
        if panel["type"] == "row":
            figure.text(0.006, 1 - (at["y"] + 0.75) / lines, panel["title"], weight="bold")
            continue
        left, top = at["x"] / 24, at["y"] / lines
        # A margin for the title above, the labels at the left and below.
        bottom, size = 1 - top - (at["h"] - 0.9) / lines, (at["h"] - 1.9) / lines
        axes = figure.add_axes((left + 0.036, bottom, at["w"] / 24 - 0.046, size))
        axes.set_title(panel["title"], loc="left", fontsize=8, weight="bold")
        axes.tick_params(labelsize=7)
        found = [(asked, answers[panel["id"], asked["refId"]]) for asked in panel["targets"]]
        _draw(axes, panel, found)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(COLOURS).save(path, optimize=True)


def _draw(axes: Axes, panel: Mapping[str, Any], found: list[tuple[Any, Any]]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if not any(answer for _, answer in found):
        _words(axes, [panel["fieldConfig"]["defaults"]["noValue"]], size=9)
    elif panel["type"] == "logs" or found[0][0]["datasource"]["type"] == "jaeger":
        _words(axes, [_record(each) for each in found[0][1][:MOST]])
    elif panel["type"] == "table":
        _table(axes, panel, found)
    elif panel["type"] == "heatmap":
        _heat(axes, found[0][1], unit)
    elif panel["type"] in {"stat", "bargauge"}:
        named = [
            (_name(asked, labels), points[-1][1]) for asked, a in found for labels, points in a
        ]
        _numbers(axes, sorted(named), unit, large=panel["type"] == "stat")
    else:
        stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
        _lines(axes, found, unit, stacked=stacked)


def _lines(axes: Axes, found: list[tuple[Any, Any]], unit: str, *, stacked: bool) -> None:
    series = []
    for asked, answer in found:
        if asked["datasource"]["type"] == "elasticsearch":
            series += _counted(answer)
        else:
            series += [(_name(asked, labels), dict(points)) for labels, points in answer]
    series.sort(key=lambda each: -max(each[1].values()))
    times = sorted({time for _, points in series for time in points})
    ground = dict.fromkeys(times, 0.0)
    for number, (name, points) in enumerate(series):
        label = name if number < MOST else None
        if stacked:
            upper = {time: ground[time] + points.get(time, 0.0) for time in times}
            axes.fill_between(_when(times), [*ground.values()], [*upper.values()], alpha=0.7,
                              linewidth=0, label=label)  # fmt: skip
            ground = upper
        else:
            axes.plot(_when(sorted(points)), [points[t] for t in sorted(points)], linewidth=1,
                      marker="." if len(points) < 3 else "", label=label)  # fmt: skip
    axes.set_ylim(bottom=0)
    _times(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number_in(value, unit)))
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(fontsize=6, loc="upper left", framealpha=0.6)


def _times(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))


def _heat(axes: Axes, answer: Any, unit: str) -> None:
    by_bound = sorted(((float(labels["le"]), dict(points)) for labels, points in answer),
                      key=lambda each: each[0])  # fmt: skip
    times = sorted({time for _, points in by_bound for time in points})
    below = dict.fromkeys(times, 0.0)
    rows = []
    for _, points in by_bound:
        rows.append([max(0.0, points.get(time, 0.0) - below[time]) for time in times])
        below = {time: points.get(time, below[time]) for time in times}
    axes.imshow(rows, aspect="auto", origin="lower", cmap="Blues", interpolation="nearest",
                extent=(*_when([times[0], times[-1]]), 0, len(rows)))  # fmt: skip
    names = [number_in(bound, unit) for bound, _ in by_bound]
    axes.set_yticks([n + 0.5 for n in range(len(names))][::3], names[::3])
    _times(axes)


def _numbers(axes: Axes, named: list[tuple[str, float]], unit: str, *, large: bool) -> None:
    if large:
        texts = [f"{number_in(value, unit)}  {name}".strip() for name, value in named[:MOST]]
        _words(axes, texts, size=16 if len(texts) == 1 else 9)
        return
    names, values = [name for name, _ in named[:12]], [value for _, value in named[:12]]
    axes.barh(range(len(names)), values, color="#a8c7fa")
    axes.set_yticks([])
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        axes.text(0, number, f" {name}  {number_in(value, unit)}", fontsize=7, va="center")
    axes.set_xticks([])
    axes.margins(x=0.25)


def _table(axes: Axes, panel: Mapping[str, Any], found: list[tuple[Any, Any]]) -> None:
    rows: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for asked, answer in found:
        name = "Value" if len(found) == 1 else f"Value #{asked['refId']}"
        for each in answer:
            labels, value = (each[0], each[1][-1][1]) if isinstance(each, tuple) else (each, None)
            own = {key: str(text) for key, text in labels.items() if key != "Count"}
            row = rows.setdefault(tuple(sorted(own.items())), dict(own))
            row["Count" if value is None else name] = each["Count"] if value is None else value
    organized = panel["transformations"][-1]["options"]
    order = sorted(organized["renameByName"], key=organized["indexByName"].get)
    titles = {key: organized["renameByName"][key] for key in order}
    units = {
        override["matcher"]["options"]: property_["value"]
        for override in panel["fieldConfig"]["overrides"]
        for property_ in override["properties"]
        if property_["id"] == "unit"
    }
    by = panel["options"]["sortBy"]
    keys = {title: key for key, title in titles.items()}
    shown = list(rows.values())
    if by:
        shown.sort(key=lambda row: -float(row.get(keys[by[0]["displayName"]], 0)))
    text = [
        [_cell(row.get(key, ""), units.get(title, "short")) for key, title in titles.items()]
        for row in shown[:MOST]
    ]
    axes.axis("off")
    table = axes.table(text, colLabels=list(titles.values()), loc="upper left", cellLoc="left",
                       edges="horizontal")  # fmt: skip
    table.auto_set_font_size(value=False)
    table.set_fontsize(7)
    for cell in table.get_celld().values():
        cell.set_height(0.095)
        cell.set_linewidth(0.3)


def _words(axes: Axes, texts: list[str], *, size: int = 7) -> None:
    axes.axis("off")
    axes.text(0, 1, "\n".join(texts), fontsize=size, va="top", transform=axes.transAxes)


def _record(each: Mapping[str, Any]) -> str:
    if "spans" in each:
        root = min(each["spans"], key=lambda span: span["startTime"])
        name, start = root["operationName"], root["startTime"] / 1e6
        return f"{each['traceID'][:8]}  {name}  {_clock(start)}  {root['duration'] / 1e6:.2f} s"
    own = each.get("attributes", {})
    told = " ".join(f"{key}={own[key]}" for key in sorted(own) if key.startswith("pipeline.n"))
    body = str(each.get("body", {}).get("text", ""))[:70]
    at, level = _clock(float(each["@timestamp"]) / 1000), each.get("severity_text", "")
    return f"{at}  {level}  {body}  {told}"


def _counted(answer: list[Mapping[str, Any]]) -> list[tuple[str, dict[float, float]]]:
    found: dict[str, dict[float, float]] = {}
    for row in answer:
        (name,) = (text for key, text in row.items() if key not in {"@timestamp", "Count"})
        found.setdefault(str(name), {})[row["@timestamp"] / 1000] = float(row["Count"])
    return list(found.items())


def _name(asked: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    legend = asked.get("legendFormat", "")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def _cell(value: Any, unit: str) -> str:
    return str(value)[:60] if isinstance(value, str) else number_in(float(value), unit)


def _when(times: list[float]) -> list[float]:
    return [float(date2num(datetime.fromtimestamp(time, UTC))) for time in times]


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M:%S")


def number_in(value: float, unit: str) -> str:
    """Return a number as people read it: `number_in(0.25, "percentunit")` is 25 %."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        for size, word in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
            if abs(value) >= size:
                return f"{value / size:.3g} {word}"
        return f"{value * 1e6:.3g} µs" if value else "0 s"
    per = {"ops": "/s", "reqps": "/s", "suffix: rows/s": "/s", "suffix: runs/min": "/min"}
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{number} {per.get(unit, '')}".strip()
