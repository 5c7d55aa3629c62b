"""Index templates of Elasticsearch: what is stored of a record, and for how long."""

from __future__ import annotations

import json
from collections.abc import Mapping

from etl_telemetry.ops.templates.mapping import Stream, fields, streams, template
from etl_telemetry.ops.thresholds import Thresholds

__all__ = ["Stream", "fields", "files", "streams", "template"]


def files(limits: Thresholds) -> Mapping[str, str]:
    """Return each template by the name of its file."""
    return {
        f"{stream.name}.json": json.dumps(template(stream), indent=2) + "\n"
        for stream in streams(limits)
    }
