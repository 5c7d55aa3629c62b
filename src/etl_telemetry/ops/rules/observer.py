"""Alerts on the observer: does it read at all, and can it read each source."""

from __future__ import annotations

from etl_telemetry.ops.rules.model import NO_COLLECTOR, Alert

_READINGS = "observer_readings_total"
_BY_SOURCE = "deployment_environment_name, observer_source"
# A reading that failed counts as well: who fails is not silent. Beat counts its own schedule.
_OWN = f'{_READINGS}{{observer_source!="beat"}}'


def alerts() -> tuple[Alert, ...]:
    """Return the alerts of the observer."""
    return (_silent(), _cannot_read(), _queues_not_read())


def _silent() -> Alert:
    return Alert(
        name="ObserverSilent",
        # With the job that did it, so that ServiceDown can silence it; any other may take over.
        expr=f"""
group by (deployment_environment_name, job) (increase({_OWN}[1d]) > 0)
unless on (deployment_environment_name)
group by (deployment_environment_name) (increase({_OWN}[10m]) > 0)
{NO_COLLECTOR}
""",
        summary="Nobody reads active runs, queues and database connections any more",
        description=(
            "For ten minutes no observer has tried to read anything: it is gone, or none gets the "
            "lead. Alerts on queues, freshness and active runs are blind until it is back."
        ),
        dashboard="etl-health",
    )


def _cannot_read() -> Alert:
    return Alert(
        name="ObserverCannotRead",
        expr=_failing('observer_source!="queues"'),
        summary="The observer cannot read {{ $labels.observer_source }}",
        description=(
            "Every reading fails, and the series of this source have ended: alerts on them are "
            "blind. The log event observer_source_failed says why."
        ),
        dashboard="etl-health",
    )


def _queues_not_read() -> Alert:
    return Alert(
        name="QueuesNotRead",
        severity="critical",
        expr=_failing('observer_source="queues"'),
        summary="Nobody knows how many messages wait: the broker cannot be read",
        description=(
            "Every reading of the queues fails: the broker is down or refuses the observer, and "
            "HighQueueSize is blind. The log event observer_source_failed says why."
        ),
        dashboard="etl-celery",
        runbook="observer-cannot-read",
    )


def _failing(source: str) -> str:
    return f"""
(
  sum by ({_BY_SOURCE}) (increase({_READINGS}{{status="error", {source}}}[5m])) > 0
)
unless
(
  sum by ({_BY_SOURCE}) (increase({_READINGS}{{status="success", {source}}}[5m])) > 0
)
"""
