"""The names that people's queries have for requests: each series renamed, none aggregated.

A rule that sums over instances makes a counter fall when one of them ends, and `rate()`
takes the fall for a restart: it adds everything again. So each series keeps its own labels
and gets the old names beside the new ones.
"""

from __future__ import annotations

from etl_telemetry.ops.rules.model import Group, Recording

_SOURCE = "http_server_request_duration_seconds"
_LABELS = (
    ("method", "http_request_method"),
    ("endpoint", "http_route"),
    ("status_code", "http_response_status_code"),
)


def group() -> Group:
    """Return the rules that rename."""
    return Group(
        "http",
        (
            Recording("http_requests_total", _renamed(f"{_SOURCE}_count")),
            *(
                Recording(f"http_request_duration_seconds_{part}", _renamed(f"{_SOURCE}_{part}"))
                for part in ("bucket", "sum", "count")
            ),
        ),
    )


def _renamed(series: str) -> str:
    for new, old in _LABELS:
        series = f'label_replace({series}, "{new}", "$1", "{old}", "(.*)")'
    return series
