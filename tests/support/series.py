"""Every series that there can be, with its labels: the catalogue's, and those of others."""

from __future__ import annotations

from etl_telemetry import catalogue
from etl_telemetry.ops import rules
from etl_telemetry.ops.rules.model import Recording
from etl_telemetry.ops.thresholds import Thresholds

TARGET = {"job", "instance", "deployment_environment_name"}
"""What Prometheus makes of the resource, on every series."""
REQUESTS = {"http_request_method", "http_route", "http_response_status_code"}
RECORDED = {
    rule.record
    for group in rules.groups(Thresholds())
    for rule in group.rules
    if isinstance(rule, Recording)
}
"""Series that our rules record."""
FOREIGN = {
    # Prometheus itself.
    "up": set(),
    # OpenTelemetry's semantic conventions for HTTP.
    **{
        f"http_server_request_duration_seconds_{part}": REQUESTS
        for part in ("bucket", "sum", "count")
    },
    # Alertmanager about itself: tests/stack/test_notifications.py asks a real one for it.
    "alertmanager_notifications_failed_total": {"integration", "reason"},
    # The Collector about itself: tests/stack/test_rules.py asks a real one for them.
    "otelcol_exporter_queue_size": {"exporter", "data_type"},
    "otelcol_exporter_queue_capacity": {"exporter", "data_type"},
    **{
        f"otelcol_{what}_{kind}": {"exporter", "receiver"}
        for what in (
            "exporter_enqueue_failed",
            "exporter_send_failed",
            "exporter_sent",
            "receiver_refused",
            "receiver_accepted",
        )
        for kind in ("spans", "metric_points", "log_records")
    },
}
"""Metrics that are not ours, with the labels that rules and dashboards may use."""


def known() -> dict[str, set[str]]:
    """Return the labels of every series that a rule or a dashboard may name."""
    found = {name: set(labels) for name, labels in FOREIGN.items()}
    for metric in catalogue.METRICS.values():
        labels = {key.replace(".", "_") for key in metric.attributes}
        if metric.kind == "histogram":
            for part in ("bucket", "sum", "count"):
                found[f"{metric.prometheus}_{part}"] = labels | {"le"}
        else:
            found[metric.prometheus] = labels
    return found | {name: set() for name in RECORDED}
