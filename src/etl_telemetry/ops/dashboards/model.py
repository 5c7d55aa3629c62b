"""Dashboards as values: what is asked and how it is shown, without a word of Grafana's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

View = Literal["lines", "share", "value", "levels", "table", "heat", "records"]
"""How the answer is shown: lines over time; the same stacked; one number each; one bar each; rows;
a histogram over time; log records."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """A question to Prometheus."""

    expr: str
    """PromQL; `$environment` and its like are the variables of the dashboard."""
    legend: str = ""
    """Name of a series: `{{label}}` stands for the value of a label."""


@dataclass(frozen=True, slots=True)
class Records:
    """A question to Elasticsearch."""

    query: str
    """Lucene's query language."""
    by: tuple[str, ...] = ()
    """Fields by whose values the documents are counted; none: the documents themselves."""
    over_time: bool = False
    """Count for each interval of time."""
    most: int = 20
    """How many different values of each field are counted: the most frequent."""


@dataclass(frozen=True, slots=True)
class Traces:
    """A question to Jaeger."""

    tags: Mapping[str, str]
    """Attributes that a span of the trace must have."""
    service: str = "$service"
    """Name of the service whose spans are searched."""
    operation: str | None = None
    """Name of the span."""


Query = Metrics | Records | Traces


Limits = tuple[tuple[float, str], ...]
"""From which value on which colour holds."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    field: str
    """Label or field that it shows; a number is `Value`, or `Value #B` of the second question."""
    title: str
    """Its headline."""
    unit: str | None = None
    """Grafana's name of the unit of its numbers."""
    limits: Limits = ()
    """Colours of its numbers."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel."""

    title: str
    """What it shows, in a few words."""
    description: str
    """What the number means, from where it comes, and what a bad one looks like."""
    queries: tuple[Query, ...]
    """What is asked, all of one source."""
    view: View = "lines"
    """How it is shown."""
    unit: str = "short"
    """Grafana's name of the unit: `s`, `percentunit`, `suffix: rows/s`."""
    limits: Limits = ()
    """Colours of the number or the bars, green below the first; dashed lines over time."""
    empty: str = "No data"
    """What stands there when the answer is empty: never a zero, never green."""
    width: int = 12
    """Columns of 24."""
    height: int = 8
    """Rows of about 30 pixels."""
    columns: tuple[Column, ...] = ()
    """Columns of a table; what is not named is hidden. None: all that the source gives."""
    sort: str | None = None
    """Title of the column by which a table is sorted, the greatest first."""
    least_first: bool = False
    """Sort the other way round."""
    decimals: int | None = None
    """Digits after the point; None: as many as Grafana likes."""
    now: bool = False
    """Ask once, for the end of the time range, instead of over time."""


@dataclass(frozen=True, slots=True)
class Row:
    """A headline and the panels below it."""

    title: str
    """The headline."""
    panels: tuple[Panel, ...]
    """The panels, from left to right, in lines of 24 columns."""


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader chooses above the panels."""

    name: str
    """Its name in queries, after `$`."""
    label: str
    """Its name on the page."""
    values: str
    """`label_values(series, label)`: where its values come from."""
    several: bool = True
    """Several values, or all of them, can be chosen at a time; else exactly one."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard."""

    uid: str
    """Its id in addresses; alerts name it."""
    title: str
    """Its title."""
    description: str
    """For whom it is, in a sentence."""
    variables: tuple[Variable, ...]
    """What can be chosen."""
    rows: tuple[Row, ...]
    """What is shown."""
    since: str = "now-1h"
    """Where the time range begins when it is opened."""
    refresh: str = "30s"
    """How often it is asked again."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Return all panels, from top to bottom."""
        return tuple(panel for row in self.rows for panel in row.panels)
