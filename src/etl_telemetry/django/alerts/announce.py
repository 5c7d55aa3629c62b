"""Tell of what is new: a log record and a signal for each alert, once."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan

from etl_telemetry import catalogue, guard
from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.alerts.payload import FIRING
from etl_telemetry.django.alerts.signals import alert_received
from etl_telemetry.pipelines.run import root_context

_log = logging.getLogger(catalogue.SCOPE)


def announce(alerts: Iterable[Alert]) -> None:
    """Log and signal each alert. Nothing that a receiver or a handler does stops the next one."""
    for alert in alerts:
        with guard.absorb("logging an alert"):
            _log_in_trace(alert)
        alert_received.send_robust(sender=Alert, alert=alert)


def _log_in_trace(alert: Alert) -> None:
    """Log an alert; where it names a run, as part of the run's trace, so that it is found there."""
    if not alert.run_id:
        _write(alert)
        return
    with trace.use_span(NonRecordingSpan(root_context(alert.run_id))):
        _write(alert)


def _write(alert: Alert) -> None:
    fields = {
        catalogue.ALERT_NAME: alert.name,
        catalogue.ALERT_STATUS: alert.status,
        catalogue.ALERT_SEVERITY: alert.severity,
        catalogue.ALERT_SUMMARY: alert.summary,
        catalogue.ALERT_FINGERPRINT: alert.fingerprint,
        catalogue.ALERT_RECEIVER: alert.receiver,
        catalogue.ALERT_STARTS_AT: alert.starts_at.isoformat(),
        catalogue.ALERT_ENDS_AT: alert.ends_at.isoformat() if alert.ends_at else "",
        catalogue.ALERT_TRACE_ID: alert.trace_id,
        catalogue.PIPELINE_NAME: alert.pipeline_name,
        catalogue.PIPELINE_ORGANIZATION: alert.organization,
        catalogue.PIPELINE_RUN_ID: alert.run_id,
    }
    told = {key: value for key, value in fields.items() if value}
    if alert.status == FIRING:
        _log.warning("alert_firing", extra=told)
    else:
        _log.info("alert_resolved", extra=told)
