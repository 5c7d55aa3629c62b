"""What Kibana shows, as values: data views, filters, charts, searches and dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from etl_telemetry.ops.templates.fields import DURATION

Operation = Literal["count", "sum", "average", "median", "max", "percentile", "unique_count"]
Shape = Literal["number", "bars", "table"]

JAEGER = "http://localhost:16686"
"""Where people open Jaeger on one machine: the address before `/trace/<id>`."""
LEVEL = "severity_number"
ERROR = 17
"""The lowest number of the level ERROR, as OpenTelemetry counts levels."""


def attribute(name: str) -> str:
    """Return the field of an attribute of a record.

    >>> attribute("pipeline.name")
    'attributes.pipeline.name'
    """
    return f"attributes.{name}"


def resource(name: str) -> str:
    """Return the field of what is known of the process that wrote the record.

    >>> resource("service.name")
    'resource.attributes.service.name'
    """
    return f"resource.attributes.{name}"


SECONDS = attribute(DURATION)
"""How long a run or a request took."""


@dataclass(frozen=True, slots=True)
class DataView:
    """Streams that are searched together."""

    id: str
    """Id of the saved object."""
    title: str
    """Pattern of index names."""
    name: str
    """What people read in Kibana."""
    templates: tuple[str, ...]
    """Templates of the streams that the pattern covers: a field must be in each of them."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition in Elasticsearch's own words: Kibana sends it as it is."""

    field: str
    """Whole name of the field."""
    values: tuple[str, ...] = ()
    """Any of these; none means that the field has any value."""
    at_least: int | None = None
    """Or: a number that it must reach."""

    def query(self) -> dict[str, object]:
        """Return the condition.

        >>> Filter("event_name", ("task_lost",)).query()
        {'match_phrase': {'event_name': 'task_lost'}}
        """
        if self.at_least is not None:
            return {"range": {self.field: {"gte": self.at_least}}}
        phrases = [{"match_phrase": {self.field: value}} for value in self.values]
        if not phrases:
            return {"exists": {"field": self.field}}
        if len(phrases) == 1:
            return dict(phrases[0])
        return {"bool": {"minimum_should_match": 1, "should": phrases}}

    def meta(self) -> dict[str, object]:
        """Return what Kibana shows of it."""
        about: dict[str, object] = {"alias": None, "disabled": False, "negate": False}
        if self.at_least is not None:
            return {**about, "type": "range", "params": {"gte": self.at_least}}
        if not self.values:
            return {**about, "type": "exists", "value": "exists"}
        if len(self.values) == 1:
            return {**about, "type": "phrase", "params": {"query": self.values[0]}}
        return {**about, "type": "phrases", "params": list(self.values)}


@dataclass(frozen=True, slots=True)
class Measure:
    """A number: of records, or of a field's values."""

    label: str
    """What people read."""
    operation: Operation = "count"
    """How the number is made."""
    field: str | None = None
    """The field; None counts records."""
    percent: int = 95
    """Which percentile, where it is one."""


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the records for each value of a field, the ones with most records first."""

    label: str
    """What people read."""
    field: str
    """The field."""
    size: int = 10
    """How many values."""
    missing: bool = False
    """Whether records without the field are a part, too."""
    numeric: bool = False
    """Whether its values are numbers."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture (Lens)."""

    id: str
    """Id of the saved object; stays, since dashboards of others may use it."""
    title: str
    """What people read."""
    view: DataView
    """What is searched."""
    shape: Shape
    """How it looks; bars are over time, or over the first group."""
    measures: tuple[Measure, ...] = (Measure("Records"),)
    """Its numbers."""
    groups: tuple[Group, ...] = ()
    """What they are for."""
    filters: tuple[Filter, ...] = ()
    """Conditions on the records."""
    over_time: bool = False
    """Whether it has a time axis."""
    description: str = ""
    """What it tells, where the title does not."""


@dataclass(frozen=True, slots=True)
class Search:
    """Records as a table (Discover)."""

    id: str
    """Id of the saved object."""
    title: str
    """What people read."""
    view: DataView
    """What is searched."""
    columns: tuple[str, ...]
    """Fields that are shown beside the time."""
    filters: tuple[Filter, ...] = ()
    """Conditions on the records."""
    description: str = ""
    """What it is for."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of charts and searches."""

    id: str
    """Id of the saved object, and its address: `/app/dashboards#/view/<id>`."""
    title: str
    """What people read."""
    description: str
    """What questions it answers."""
    view: DataView
    """What its controls choose from."""
    controls: Mapping[str, str]
    """Fields that people choose values of, by what they read."""
    rows: tuple[tuple[Chart | Search, ...], ...]
    """Panels from top to bottom; those of a row share its width."""
