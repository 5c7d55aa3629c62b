"""Alerts on the telemetry itself: what is not seen does not look like health."""

from __future__ import annotations

from etl_telemetry.ops.rules.model import WHOLE, Alert, Group, number, percent
from etl_telemetry.ops.thresholds import Thresholds

_KINDS = ("spans", "metric_points", "log_records")
_QUEUE = "instance, exporter, data_type"


def group(limits: Thresholds) -> Group:
    """Return the alerts of telemetry and Collector."""
    return Group(
        "telemetry",
        (
            _dropped(),
            _collector_down(),
            _filling(limits),
            _losing(),
            _refusing(),
            _audit(),
            _untold(),
        ),
    )


def _dropped() -> Alert:
    return Alert(
        name="TelemetryDropped",
        keep="15m",
        expr="""
round(
  sum by (deployment_environment_name, job, reason) (
    increase(telemetry_drops_total{reason=~"not_delivered|queue_full|label_overflow"}[15m])
  )
) > 0
""",
        summary="{{ $labels.job }} drops telemetry: {{ $labels.reason }}",
        description=(
            f"{WHOLE} items within 15 minutes. The log event telemetry_dropped "
            "says what and where, once for each line of the application."
        ),
        dashboard="etl-health",
    )


def _collector_down() -> Alert:
    return Alert(
        name="CollectorDown",
        severity="critical",
        wait="1m",
        expr='up{job="collector"} == 0',
        summary="The Collector {{ $labels.instance }} is down",
        description=(
            "Nothing that sends to it gets through. Processes keep what fits into their queues, "
            "for about a minute, and count what does not."
        ),
        dashboard="etl-health",
    )


def _filling(limits: Thresholds) -> Alert:
    return Alert(
        name="CollectorQueueFilling",
        expr=f"""
max by ({_QUEUE}) (otelcol_exporter_queue_size)
/
max by ({_QUEUE}) (otelcol_exporter_queue_capacity)
> {number(limits.collector_queue_ratio)}
""",
        summary=(
            "Queue of {{ $labels.exporter }} ({{ $labels.data_type }}) is "
            "{{ $value | humanizePercentage }} full"
        ),
        description=(
            f"More than {percent(limits.collector_queue_ratio)}: the backend is down or too slow. "
            "What does not fit any more is refused."
        ),
        dashboard="etl-health",
    )


def _losing() -> Alert:
    return Alert(
        name="CollectorLosing",
        severity="critical",
        wait="0m",
        keep="15m",
        expr=_any_of(
            "sum by (instance, exporter)",
            *(
                f"otelcol_exporter_{what}_failed_{kind}"
                for what in ("enqueue", "send")
                for kind in _KINDS
            ),
        ),
        summary="The Collector loses what is meant for {{ $labels.exporter }}",
        description=(
            f"{WHOLE} items within 10 minutes did not fit into its queue, or the "
            "backend refused them for good. The Collector's log says why."
        ),
        dashboard="etl-health",
    )


def _refusing() -> Alert:
    return Alert(
        name="CollectorRefusing",
        expr=_any_of(
            "sum by (instance, receiver)", *(f"otelcol_receiver_refused_{kind}" for kind in _KINDS)
        ),
        summary="The Collector {{ $labels.instance }} refuses what it is sent",
        description=(
            f"{WHOLE} items within 10 minutes: it is short of memory, or a queue is "
            "full. Senders try again, and drop when they cannot wait any longer."
        ),
        dashboard="etl-health",
    )


def _audit() -> Alert:
    return Alert(
        name="AuditNotDelivered",
        severity="critical",
        wait="10m",
        expr="""
max by (deployment_environment_name, database_alias) (audit_events_waiting) > 0
""",
        summary=f"{WHOLE} audit events in {{{{ $labels.database_alias }}}} wait",
        description=(
            "They are safe in their table, and nobody sees them in the audit trail: for ten "
            "minutes there was always one that was not delivered."
        ),
        dashboard="etl-health",
    )


def _any_of(aggregation: str, *counters: str) -> str:
    # One selector for several names would be shorter, but `increase()` takes the name away, and
    # series that then have the same labels are an error.
    return "\nor\n".join(
        f"round({aggregation} (increase({counter}[10m]))) > 0" for counter in counters
    )


def _untold() -> Alert:
    return Alert(
        name="NotificationsFailing",
        wait="10m",
        expr="""
round(
  sum by (instance, integration) (increase(alertmanager_notifications_failed_total[10m]))
) > 0
""",
        summary="Alertmanager cannot tell people by {{ $labels.integration }}",
        description=(
            f"For ten minutes messages have not got out, {WHOLE} of them in the last ten. "
            "Whoever is told by this channel only does not know what fires."
        ),
        dashboard="etl-health",
    )
