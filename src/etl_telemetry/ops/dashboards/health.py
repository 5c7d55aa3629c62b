"""Telemetry health: does what we look at arrive, and what does not."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.choices import ENV, ENVIRONMENT, RECORD_ENV, rate, rise
from etl_telemetry.ops.dashboards.model import Column, Dashboard, Metrics, Panel, Records, Row
from etl_telemetry.ops.thresholds import Thresholds

_KINDS = ("spans", "metric_points", "log_records")
_QUEUE = "instance, exporter, data_type"
_UNREAD = "Nobody reads"
_UNSCRAPED = "Prometheus does not scrape the Collector"


def board(limits: Thresholds) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid="etl-health",
        title="ETL platform: telemetry health",
        description="Does what the other dashboards show arrive, all of it and in time?",
        variables=(ENVIRONMENT,),
        rows=(
            Row("Services", _services(limits)),
            Row("The library", _library()),
            Row("Collector", (*_collector(limits), *_ways_out())),
            Row("Records", _records()),
        ),
    )


def _age(metric: str, by: str) -> str:
    # A series is found for 5 minutes after its last sample: a subquery, by the minute, finds the
    # last one of what has been silent for longer.
    last = f"max_over_time(timestamp({metric}{{{ENV}}})[1d:1m])"
    return f"time() - max by ({by}) ({last})"


def _services(limits: Thresholds) -> tuple[Panel, ...]:
    return (
        Panel(
            "Last metrics",
            "Time since any process of a service last sent metrics, of those that did within a day "
            "(ServiceDown).",
            (Metrics(_age("etl_platform_info", "deployment_environment_name, job")),),
            "table", width=9, sort="Silent for", empty="No service is known",
            columns=(Column("job", "Service"),
                     Column("deployment_environment_name", "Environment"),
                     Column("Value", "Silent for", "s", ((limits.silent_seconds, "red"),))),
        ),
        Panel(
            "Last reading",
            "Time since the observer last told the number of active runs, if it did within a day "
            "(ObserverSilent).",
            (Metrics(_age("active_pipeline_runs", "deployment_environment_name"),
                     "{{deployment_environment_name}}"),),
            "value", "s", width=5, now=True, empty="No observer is known",
            limits=((limits.silent_seconds, "red"),),
        ),
        Panel(
            "What runs",
            "Processes by version, environment and build date.",
            (Metrics("count by (job, version, environment, build_date) "
                     f"(etl_platform_info{{{ENV}}})"),),
            "table", width=10, sort="Processes", empty="No service is known",
            columns=(Column("job", "Service"), Column("version", "Version"),
                     Column("environment", "Environment"), Column("build_date", "Built"),
                     Column("Value", "Processes")),
        ),
    )  # fmt: skip


def _library() -> tuple[Panel, ...]:
    return (
        Panel(
            "Dropped",
            "Values, spans, records and points that did not leave a process as given, in the time "
            "shown. Nothing is counted before something was dropped.",
            (Metrics(f"round(sum by (job, reason) ({rise('telemetry_drops_total', ENV)}))",
                     "{{job}} {{reason}}"),),
            "levels", width=8, now=True, empty="Nothing was ever dropped, or nothing arrives",
            limits=((1.0, "orange"),),
        ),
        Panel(
            "Readings of the observer",
            "Readings a second of shared state, by source and by whether it could be read.",
            (Metrics(f"sum by (observer_source, status) ({rate('observer_readings_total', ENV)})",
                     "{{observer_source}} {{status}}"),),
            unit="ops", width=8, empty=_UNREAD,
        ),
        Panel(
            "Audit events that wait",
            "Committed and not delivered to their stream yet (AuditNotDelivered).",
            (Metrics(f"max by (database_alias) (audit_events_waiting{{{ENV}}})",
                     "{{database_alias}}"),),
            "value", width=8, empty=_UNREAD, limits=((1.0, "red"),),
        ),
    )  # fmt: skip


def _all_of(what: str, by: str) -> tuple[Metrics, ...]:
    return tuple(
        Metrics(
            f"sum by ({by}) (rate(otelcol_{what}_{kind}[$__rate_interval]))",
            f"{{{{{by}}}}} {kind.replace('_', ' ')}",
        )
        for kind in _KINDS
    )


def _collector(limits: Thresholds) -> tuple[Panel, ...]:
    return (
        Panel(
            "Collectors",
            "1: Prometheus can scrape it. 0: it is down.",
            (Metrics('max by (instance) (up{job="collector"})', "{{instance}}"),),
            "value", width=6, empty=_UNSCRAPED, limits=((0.0, "red"), (1.0, "green")),
        ),
        Panel(
            "Queues",
            "How full the queue of each exporter is. It fills while its backend is away.",
            (Metrics(f"max by ({_QUEUE}) (otelcol_exporter_queue_size)\n/\n"
                     f"max by ({_QUEUE}) (otelcol_exporter_queue_capacity)",
                     "{{exporter}} {{data_type}}"),),
            unit="percentunit", width=9, empty=_UNSCRAPED,
            limits=((limits.collector_queue_ratio, "red"),),
        ),
        Panel(
            "Received",
            "Taken from applications a second.",
            _all_of("receiver_accepted", "receiver"),
            unit="ops", width=9, empty=_UNSCRAPED,
        ),
    )  # fmt: skip


def _ways_out() -> tuple[Panel, ...]:
    return (
        Panel(
            "Delivered",
            "Taken by the backends a second.",
            _all_of("exporter_sent", "exporter"),
            unit="ops", width=8, empty=_UNSCRAPED,
        ),
        Panel(
            "Lost",
            "Items a second that a backend refused for good, or that did not fit into the queue. "
            "Nothing is counted before the first.",
            (*_all_of("exporter_send_failed", "exporter"),
             *_all_of("exporter_enqueue_failed", "exporter")),
            unit="ops", width=8, empty="Nothing was ever lost, or nobody scrapes",
        ),
        Panel(
            "Refused",
            "Items a second that the Collector did not take: it is short of memory, or a queue is "
            "full. Senders try again.",
            _all_of("receiver_refused", "receiver"),
            unit="ops", width=8, empty=_UNSCRAPED,
        ),
    )  # fmt: skip


def _records() -> tuple[Panel, ...]:
    return (
        Panel(
            "Log records",
            "Records for each interval, by severity.",
            (Records(RECORD_ENV, by=("severity_text",), over_time=True),),
            "share", width=12, empty="No records arrive",
        ),
        Panel(
            "Of the telemetry itself",
            "What the library says about itself: drops, errors, sources that cannot be read.",
            (Records(
                "event_name:(telemetry_dropped OR telemetry_internal_error OR "
                "telemetry_not_delivered OR configuration_warning OR observer_source_failed OR "
                f"audit_not_drained) AND {RECORD_ENV}"
            ),),
            "records", width=12, empty="It has said nothing, or no records arrive",
        ),
    )  # fmt: skip
