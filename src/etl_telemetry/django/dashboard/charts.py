"""Charts as SVG, drawn by pygal on the server: no script, no style, no id of its own.

The colours are those of our stylesheet, light or dark. What a pointer is held over tells its value
in a `<title>`; the table below the charts tells all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from etl_telemetry import guard
from etl_telemetry.django.dashboard.filters import number, percent, seconds
from etl_telemetry.django.figures import RunBucket

_WIDTH, _HEIGHT, _FONT = 560, 240, 13
_SVG = "{http://www.w3.org/2000/svg}"
_LABELS = 5
_GONE = {"defs", "desc", "script", "style"}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of a page."""

    title: str
    """What it shows."""
    summary: str
    """The same in a sentence, with figures, for who does not see it."""
    svg: SafeString
    """The drawing; empty where it could not be drawn."""


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    values: Sequence[float | None]


def of(series: Sequence[RunBucket]) -> list[Chart]:
    """Draw the charts of a series; none where pygal is not installed."""
    if find_spec("pygal") is None or not series:
        return []
    statuses = [
        _Line("success", [bucket.successful_runs for bucket in series]),
        _Line("failed", [bucket.failed_runs for bucket in series]),
        _Line("cancelled", [bucket.cancelled_runs for bucket in series]),
        _Line("active", [bucket.active_runs for bucket in series]),
    ]
    rates = [_Line("success rate", [bucket.success_rate for bucket in series])]
    durations = [
        _Line("median", [bucket.median_duration for bucket in series]),
        _Line("p95", [bucket.p95_duration for bucket in series]),
    ]
    found = [
        _chart("Runs by status", "StackedBar", statuses, series, _whole),
        _chart("Success rate", "Line", rates, series, percent, range=(0, 1)),
        _chart("Durations", "Line", durations, series, seconds),
    ]
    if any(bucket.rows is not None for bucket in series):
        rows = [_Line("rows per hour", [bucket.rows_per_hour for bucket in series])]
        found.insert(2, _chart("Rows per hour", "Bar", rows, series, number))
    return found


def _whole(value: float | None) -> str:
    """Return a count; nothing where the axis has a mark between two counts."""
    return "" if value is not None and not float(value).is_integer() else number(value)


def _chart(
    title: str,
    kind: str,
    lines: Sequence[_Line],
    series: Sequence[RunBucket],
    shown: Callable[[float | None], str],
    **options: Any,
) -> Chart:
    svg = ""
    with guard.absorb("a chart of the dashboard"):
        svg = _drawn(kind, lines, series, shown, options)
    told = "; ".join(_told(line, shown) for line in lines)
    # Made by pygal with an XML writer, which escapes; stripped of all that could act.
    return Chart(title, f"{title}: {told}.", mark_safe(svg))  # noqa: S308


def _told(line: _Line, shown: Callable[[float | None], str]) -> str:
    known = [value for value in line.values if value is not None]
    if not known:
        return f"{line.name} none"
    return f"{line.name} from {shown(min(known))} to {shown(max(known))}"


def _drawn(
    kind: str,
    lines: Sequence[_Line],
    series: Sequence[RunBucket],
    shown: Callable[[float | None], str],
    options: dict[str, Any],
) -> str:
    pygal = _pygal()
    sizes = dict.fromkeys(("label", "major_label", "legend", "no_data"), _FONT)
    style = pygal.style.Style(
        font_family="sans-serif", **{f"{name}_font_size": size for name, size in sizes.items()}
    )
    chart = getattr(pygal, kind)(
        width=_WIDTH, height=_HEIGHT, margin=8, spacing=8, js=[], css=[], no_prefix=True,
        disable_xml_declaration=True, show_legend=len(lines) > 1, legend_at_bottom=True,
        legend_at_bottom_columns=len(lines), dots_size=2.5, include_x_axis=True,
        show_minor_x_labels=False, x_labels_major_count=_LABELS, truncate_label=-1,
        max_scale=6, print_values=False,
        allow_interruptions=True, no_data_text="No data", value_formatter=shown,
        style=style,
        **options,
    )  # fmt: skip
    chart.x_labels = _labels(series)
    for line in lines:
        chart.add(line.name, list(line.values))
    chart.add_xml_filter(_cleaned)
    drawn: str = chart.render(is_unicode=True)
    return drawn


def _pygal() -> Any:
    """Import pygal, without what it leaves behind in the host's process.

    It adds a finder of the old kind to `sys.meta_path`, for its maps: each import that fails would
    warn from then on. Upstream: `PluginImportFixer` in pygal/__init__.py of 3.1.3.
    """
    before = list(sys.meta_path)
    import pygal

    mine = [each for each in sys.meta_path if each not in before]
    for finder in mine:
        if type(finder).__module__ == "pygal":
            sys.meta_path.remove(finder)
    return pygal


def _labels(series: Sequence[RunBucket]) -> list[str]:
    if series[0].part in {"day", "week"}:
        # The date where it was counted: elsewhere it may be another one.
        return [f"{bucket.begin:%m-%d}" for bucket in series]
    begins = [_local(bucket.begin) for bucket in series]
    form = "%H:%M" if begins[-1] - begins[0] <= timedelta(days=1) else "%d. %H:%M"
    return [f"{begin:{form}}" for begin in begins]


def _local(begin: datetime) -> datetime:
    return timezone.localtime(begin) if timezone.is_aware(begin) else begin


def _cleaned(root: Any) -> Any:
    """Take away what a strict policy forbids, and say each value where a pointer finds it."""
    root.set("focusable", "false")
    root.set("aria-hidden", "true")
    for element in root.iter():
        for name in [name for name in element.attrib if name in {"id", "style"}]:
            del element.attrib[name]
    for parent in list(root.iter()):
        _name_value(parent)
        for child in list(parent):
            if not isinstance(child.tag, str):
                parent.remove(child)  # A comment: it tells the version.
            elif child.tag.removeprefix(_SVG) in _GONE or "tooltip" in child.get("class", ""):
                _remove_tooltip(parent, child)
    return root


def _remove_tooltip(parent: Any, child: Any) -> None:
    """Remove an element, unless its class only says that it can have a tooltip."""
    if "tooltip-trigger" in child.get("class", ""):
        child.set("class", child.get("class").replace("tooltip-trigger", "").strip())
        return
    parent.remove(child)


def _name_value(parent: Any) -> None:
    told = {
        child.get("class"): child.text or ""
        for child in parent
        if isinstance(child.tag, str) and child.tag.removeprefix(_SVG) == "desc"
    }
    if "value" in told:
        title = parent.makeelement(f"{_SVG}title" if parent.tag.startswith(_SVG) else "title", {})
        title.text = f"{told.get('x_label', '')} {told['value']}".strip()
        parent.insert(0, title)
