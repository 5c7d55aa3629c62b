"""Saved objects as Kibana exports and imports them: one JSON document a line.

The format is that of Kibana 8.9 and later, whose objects Kibana 9 imports and migrates by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from etl_telemetry.ops.kibana.lens import Reference, lens_state, reference
from etl_telemetry.ops.kibana.model import Chart, Dashboard, DataView, Filter, Search
from etl_telemetry.ops.templates.mapping import TIMESTAMP

SavedObject = Mapping[str, object]

COLUMNS = 48
"""Width of a dashboard, in Kibana's own unit."""
_HEIGHTS = {"number": 12, "bars": 12, "table": 12}
_SEARCH_HEIGHT = 18
_CORE = "8.8.0"
_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON"
_NO_QUERY = {"language": "kuery", "query": ""}


def data_view(view: DataView, *, jaeger: str) -> SavedObject:
    """Return a data view; its trace ids are links to Jaeger."""
    link = {
        "id": "url",
        "params": {
            "urlTemplate": f"{jaeger}/trace/{{{{rawValue}}}}",
            "labelTemplate": "{{value}}",
            "openLinkInCurrentTab": False,
        },
    }
    attributes = {
        "title": view.title,
        "name": view.name,
        "timeFieldName": TIMESTAMP,
        "fields": "[]",
        "fieldAttrs": "{}",
        "fieldFormatMap": _text({"trace_id": link}),
        "runtimeFieldMap": "{}",
        "sourceFilters": "[]",
        "typeMeta": "{}",
        "allowNoIndex": True,
    }
    return _object("index-pattern", view.id, "8.0.0", attributes, ())


def chart(each: Chart) -> SavedObject:
    """Return a Lens chart."""
    kind, state, references = lens_state(each)
    attributes = {
        "title": each.title,
        "description": each.description,
        "visualizationType": kind,
        "state": state,
    }
    return _object("lens", each.id, "8.9.0", attributes, references)


def search(each: Search) -> SavedObject:
    """Return a search of Discover."""
    index = f"{_SOURCE}.index"
    source = {
        "query": _NO_QUERY,
        "filter": [_filter(one, number) for number, one in enumerate(each.filters)],
        "indexRefName": index,
        "highlightAll": True,
        "version": True,
    }
    references = [reference(index, each.view)]
    references += [reference(_name_of(number), each.view) for number in range(len(each.filters))]
    attributes = {
        "title": each.title,
        "description": each.description,
        "columns": list(each.columns),
        "sort": [[TIMESTAMP, "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "timeRestore": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)},
    }
    return _object("search", each.id, "8.0.0", attributes, references)


def dashboard(board: Dashboard) -> SavedObject:
    """Return a dashboard; its panels are objects of their own, so that others can use them."""
    panels, references = _panels(board)
    controls, chosen = _controls(board)
    attributes = {
        "title": board.title,
        "description": board.description,
        "panelsJSON": _text(panels),
        "optionsJSON": _text(
            {
                "useMargins": True,
                "syncColors": True,
                "syncCursor": True,
                "syncTooltips": False,
                "hidePanelTitles": False,
            }
        ),
        "controlGroupInput": {
            "chainingSystem": "HIERARCHICAL",
            "controlStyle": "oneLine",
            "ignoreParentSettingsJSON": _text(
                dict.fromkeys(
                    ("ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations"),
                    False,
                )
            ),
            "panelsJSON": _text(controls),
        },
        "timeRestore": True,
        "timeFrom": "now-24h",
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 60_000},
        "version": 1,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text({"query": _NO_QUERY, "filter": []})},
    }
    return _object("dashboard", board.id, "8.9.0", attributes, [*references, *chosen])


def lines(objects: Sequence[SavedObject]) -> str:
    """Return the file that Kibana imports."""
    return "".join(json.dumps(each, sort_keys=True) + "\n" for each in objects)


def _panels(board: Dashboard) -> tuple[list[object], list[Reference]]:
    panels: list[object] = []
    references: list[Reference] = []
    top = 0
    for row in board.rows:
        width = COLUMNS // len(row)
        height = max(map(_height, row))
        for place, panel in enumerate(row):
            kind = "search" if isinstance(panel, Search) else "lens"
            place_on_page = {"x": place * width, "y": top, "w": width, "h": height, "i": panel.id}
            name = f"panel_{panel.id}"
            panels.append(
                {
                    "type": kind,
                    "gridData": place_on_page,
                    "panelIndex": panel.id,
                    "embeddableConfig": {"enhancements": {}},
                    "panelRefName": name,
                }
            )
            references.append({"id": panel.id, "name": f"{panel.id}:{name}", "type": kind})
        top += height
    return panels, references


def _height(panel: Chart | Search) -> int:
    return _SEARCH_HEIGHT if isinstance(panel, Search) else _HEIGHTS[panel.shape]


def _controls(board: Dashboard) -> tuple[dict[str, object], list[Reference]]:
    controls: dict[str, object] = {}
    references: list[Reference] = []
    for order, (title, field) in enumerate(board.controls.items()):
        name = title.lower()
        controls[name] = {
            "type": "optionsListControl",
            "order": order,
            "grow": True,
            "width": "medium",
            "explicitInput": {
                "id": name,
                "fieldName": field,
                "title": title,
                "selectedOptions": [],
                "searchTechnique": "prefix",
                "sort": {"by": "_count", "direction": "desc"},
                "enhancements": {},
            },
        }
        references.append(reference(f"controlGroup_{name}:optionsListDataView", board.view))
    return controls, references


def _filter(each: Filter, number: int) -> dict[str, object]:
    about = {
        **each.meta(),
        "field": each.field,
        "key": each.field,
        "indexRefName": _name_of(number),
    }
    return {"$state": {"store": "appState"}, "meta": about, "query": each.query()}


def _name_of(number: int) -> str:
    return f"{_SOURCE}.filter[{number}].meta.index"


def _object(
    kind: str, id_: str, version: str, attributes: object, references: Sequence[Reference]
) -> SavedObject:
    return {
        "type": kind,
        "id": id_,
        "attributes": attributes,
        "references": list(references),
        "coreMigrationVersion": _CORE,
        "typeMigrationVersion": version,
        "managed": False,
    }


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
