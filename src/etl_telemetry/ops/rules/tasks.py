"""Alerts on Celery: deliveries, queues."""

from __future__ import annotations

from etl_telemetry.ops.rules.model import WHOLE, Alert, Group, number, percent
from etl_telemetry.ops.thresholds import Thresholds

_TYPE = "deployment_environment_name, task_type"


def group(limits: Thresholds) -> Group:
    """Return the alerts of tasks and queues."""
    return Group(
        "tasks",
        (
            _queue_size(limits),
            _lost(),
            _stalled(limits),
            _failures(limits),
            _worker_down(),
            _nobody_answers(),
            _missed_schedule(),
        ),
    )


def _queue_size(limits: Thresholds) -> Alert:
    return Alert(
        name="HighQueueSize",
        severity="critical",
        wait="2m",
        expr=f"""
max by (deployment_environment_name, queue_name) (celery_queue_size)
> {number(limits.queue_size)}
""",
        summary=f"Queue {{{{ $labels.queue_name }}}}: {WHOLE} messages wait",
        description=(
            f"More than {number(limits.queue_size)} messages wait for a worker: workers are gone, "
            "too few, or busy with something long."
        ),
        dashboard="etl-celery",
    )


def _lost() -> Alert:
    return Alert(
        name="TaskLost",
        wait="0m",
        keep="10m",
        expr="""
round(
  sum by (deployment_environment_name, task_type, pipeline_name) (
    increase(task_executions_total{status="lost"}[10m])
  )
) > 0
""",
        summary=(
            "{{ $labels.pipeline_name }}: "
            f"{WHOLE} lost deliveries of {{{{ $labels.task_type }}}} tasks"
        ),
        description=(
            "Their processes were killed: out of memory, past the hard time limit, or by hand. "
            "The log event task_lost names task, worker and reason."
        ),
        dashboard="etl-celery",
    )


def _stalled(limits: Thresholds) -> Alert:
    return Alert(
        name="TaskStalled",
        wait="1m",
        expr=f"""
max by (deployment_environment_name, pipeline_name, step_type) (step_heartbeat_age_seconds)
> {number(limits.stalled_minutes * 60)}
""",
        summary=(
            "{{ $labels.pipeline_name }}, step {{ $labels.step_type }}: "
            "no sign of life for {{ $value | humanizeDuration }}"
        ),
        description=(
            f"The step runs and has added no row and sent no heartbeat for more than "
            f"{number(limits.stalled_minutes)} minutes: it waits for something without a timeout."
        ),
        dashboard="etl-celery",
    )


def _failures(limits: Thresholds) -> Alert:
    ended = f"""sum by ({_TYPE}) (
    increase(task_executions_total{{status!~"retried|revoked"}}[15m])
  )"""
    return Alert(
        name="TaskFailureRate",
        expr=f"""
(
  sum by ({_TYPE}) (
    increase(task_executions_total{{status=~"failed|lost"}}[15m])
  )
  /
  {ended}
) > {number(limits.task_failure_ratio)}
and
  {ended} > {number(limits.task_failure_minimum - 0.5)}
""",
        summary=("{{ $value | humanizePercentage }} of the {{ $labels.task_type }} tasks fail"),
        description=(
            f"More than {percent(limits.task_failure_ratio)} of the deliveries that ended within "
            "15 minutes failed or were lost "
            f"(at least {number(limits.task_failure_minimum)} ended)."
        ),
        dashboard="etl-celery",
    )


def _worker_down() -> Alert:
    return Alert(
        name="CeleryWorkerDown",
        wait="3m",
        expr="max by (deployment_environment_name, worker_name) (celery_worker_up) == 0",
        summary="Worker {{ $labels.worker_name }} does not answer any more",
        description=(
            "It answered within the last 15 minutes: it was stopped, killed, or its main process "
            "hangs. Its tasks are delivered again where they acknowledge late. After 15 minutes "
            "it is forgotten, and this ends, also where it is still down: NoWorkerAnswers goes on "
            "where none is left."
        ),
        dashboard="etl-celery",
    )


def _nobody_answers() -> Alert:
    return Alert(
        name="NoWorkerAnswers",
        severity="critical",
        wait="10m",
        expr="""
max by (deployment_environment_name) (max_over_time(celery_worker_up[1d])) == 1
unless
max by (deployment_environment_name) (celery_worker_up) == 1
and
sum by (deployment_environment_name) (
  increase(observer_readings_total{observer_source="workers", status="success"}[10m])
) > 0
""",
        summary="No worker answers any more",
        description=(
            "At least one did within the last day, and the observer asks: no task is done. "
            "It goes on until one answers, or for a day."
        ),
        dashboard="etl-celery",
    )


def _missed_schedule() -> Alert:
    return Alert(
        name="MissedSchedule",
        wait="0m",
        keep="15m",
        expr="""
round(
  sum by (deployment_environment_name, schedule_name) (
    increase(celery_beat_missed_total[15m])
  )
) > 0
""",
        summary="Schedule {{ $labels.schedule_name }} was due and nothing was sent",
        description=(
            f"{WHOLE} times within 15 minutes: beat is down, hangs, or cannot reach the broker."
        ),
        dashboard="etl-celery",
    )
