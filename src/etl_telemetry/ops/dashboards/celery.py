"""Celery: queues, where messages wait, workers, retries, losses, schedules."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.choices import (
    ENV,
    ENVIRONMENT,
    FAILED,
    RECORD_ENV,
    each_of,
    quantile,
    rate,
    rise,
    share,
)
from etl_telemetry.ops.dashboards.model import (
    Column,
    Dashboard,
    Metrics,
    Panel,
    Records,
    Row,
    Variable,
)
from etl_telemetry.ops.thresholds import Thresholds

_TASKS = "task_executions_total"
_WAIT = "task_queue_wait_seconds"
_QUEUE = f'{ENV}, queue_name=~"$queue"'
_NO_TASKS = "No deliveries"
_UNREAD = "Nobody reads"


def board(limits: Thresholds) -> Dashboard:
    """Return the dashboard."""
    queue = Variable("queue", "Queue", f"label_values({_WAIT}_count{{{ENV}}}, queue_name)")
    return Dashboard(
        uid="etl-celery",
        title="ETL platform: Celery",
        description="Do messages wait, do workers keep up, is anything lost?",
        variables=(ENVIRONMENT, queue),
        rows=(
            Row("Queues", (*_queues(limits), *_waits())),
            Row("Deliveries", (*_deliveries(limits), *_types())),
            Row("Workers", _workers()),
            Row("Beat", _beat()),
            Row("Losses and failures", _losses()),
        ),
    )


def _queues(limits: Thresholds) -> tuple[Panel, ...]:
    return (
        Panel(
            "Queue sizes",
            "Messages that wait in each queue, read from the broker.",
            (Metrics(f"max by (queue_name) (celery_queue_size{{{_QUEUE}}})", "{{queue_name}}"),),
            unit="suffix: messages", limits=((limits.queue_size, "red"),), empty=_UNREAD, width=8,
        ),
        Panel(
            "Oldest message",
            "Age of the message that has waited longest in each queue.",
            (Metrics(f"max by (queue_name) (celery_queue_oldest_message_age_seconds{{{_QUEUE}}})",
                     "{{queue_name}}"),),
            unit="s", empty=_UNREAD, width=8,
        ),
        Panel(
            "Consumers and unacknowledged messages",
            "Workers that take from a queue, as an AMQP broker tells or as those that answer say; "
            "messages that workers have taken and not acknowledged.",
            (Metrics(f"max by (queue_name) (celery_queue_consumers{{{_QUEUE}}})",
                     "{{queue_name}} consumers"),
             Metrics(f"max by (deployment_environment_name) (celery_messages_unacked{{{ENV}}})",
                     "unacknowledged")),
            empty=_UNREAD, width=8,
        ),
    )  # fmt: skip


def _waits() -> tuple[Panel, ...]:
    # The time in the broker is told of every delivery, 0 included.
    every = f'{_QUEUE}, phase="broker"'
    waited = f"sum by (phase) ({rate(_WAIT + '_sum', _QUEUE)})"
    begun = f"sum({rate(_WAIT + '_count', every)})"
    return (
        Panel(
            "Where messages wait",
            "Seconds that a delivery waited on average: until it was wanted (eta, retry), in the "
            "broker, and taken by a worker that was busy (prefetch).",
            (Metrics(each_of(waited, begun), "{{phase}}"),),
            "share", "s", empty=_NO_TASKS,
        ),
        Panel(
            "Wait, 95 %",
            "95 % of the deliveries waited less, by phase.",
            (Metrics(quantile(0.95, _WAIT, _QUEUE, "phase"), "{{phase}}"),),
            unit="s", empty=_NO_TASKS,
        ),
    )  # fmt: skip


def _deliveries(limits: Thresholds) -> tuple[Panel, ...]:
    ended = f'{ENV}, status!~"retried|revoked"'
    return (
        Panel(
            "Deliveries",
            "Deliveries of tasks that ended a second, by type and status.",
            (Metrics(f"sum by (task_type, status) ({rate(_TASKS, ENV)})",
                     "{{task_type}} {{status}}"),),
            unit="ops", width=8, empty=_NO_TASKS,
        ),
        Panel(
            "Duration, 95 %",
            "95 % of the deliveries of a type ran for less. A point leads to a trace.",
            (Metrics(quantile(0.95, "task_execution_duration_seconds", ENV, "task_type"),
                     "{{task_type}}"),),
            unit="s", width=8, empty=_NO_TASKS,
        ),
        Panel(
            "Failed and lost deliveries",
            "Share of the deliveries that ended; a retry is none yet.",
            (Metrics(share(f"sum by (task_type) ({rate(_TASKS, f'{ENV}, {FAILED}')})",
                           f"sum by (task_type) ({rate(_TASKS, ended)})"), "{{task_type}}"),),
            unit="percentunit", width=8, empty=_NO_TASKS,
            limits=((limits.task_failure_ratio, "red"),),
        ),
    )  # fmt: skip


def _types() -> tuple[Panel, ...]:
    return (
        Panel(
            "Deliveries by status",
            "In the time shown, rounded: success, failed, retried, revoked, lost.",
            (Metrics(f"round(sum by (status) ({rise(_TASKS, ENV)}))", "{{status}}"),),
            "levels", width=8, now=True, empty=_NO_TASKS,
        ),
        Panel(
            "Retries",
            "Share of the deliveries that asked for another one, by type.",
            (Metrics(share(
                f"""sum by (task_type) ({rate(_TASKS, f'{ENV}, status="retried"')})""",
                f"sum by (task_type) ({rate(_TASKS, ENV)})"), "{{task_type}}"),),
            unit="percentunit", width=8, empty=_NO_TASKS,
        ),
        Panel(
            "Slowest types",
            "Deliveries, mean duration and longest waits hide in sums: each type of task by "
            "itself, in the time shown.",
            (Metrics(f"round(sum by (task_type) ({rise(_TASKS, ENV)}))"),
             Metrics(share(
                 f"sum by (task_type) ({rise('task_execution_duration_seconds_sum', ENV)})",
                 f"sum by (task_type) ({rise('task_execution_duration_seconds_count', ENV)})"))),
            "table", width=8, sort="Mean", empty=_NO_TASKS,
            columns=(Column("task_type", "Type"), Column("Value #A", "Deliveries"),
                     Column("Value #B", "Mean", "s")),
        ),
    )  # fmt: skip


def _workers() -> tuple[Panel, ...]:
    def each(name: str) -> str:
        return f"max by (worker_name) ({name}{{{ENV}}})"

    return (
        Panel(
            "Workers",
            "1: it answers. 0: it answered within the last 15 minutes and does not any more.",
            (Metrics(each("celery_worker_up")),),
            "table", width=8, empty=_UNREAD,
            columns=(Column("worker_name", "Worker"),
                     Column("Value", "Answers", None, ((0.0, "red"), (1.0, "green")))),
        ),
        Panel(
            "Slots in use",
            "Tasks that run, of those that the worker can run at a time. 100 % for long: too few.",
            (Metrics(share(each("celery_worker_tasks_active"), each("celery_worker_pool_size")),
                     "{{worker_name}}"),),
            unit="percentunit", width=8,
        ),
        Panel(
            "Tasks at workers",
            "Taken and not begun (prefetched), and running.",
            (Metrics(f"sum(max by (worker_name) (celery_worker_tasks_prefetched{{{ENV}}}))",
                     "prefetched"),
             Metrics(f"sum({each('celery_worker_tasks_active')})", "running"),
             Metrics(f"sum({each('celery_worker_pool_size')})", "slots")),
            width=8,
        ),
    )  # fmt: skip


def _beat() -> tuple[Panel, ...]:
    return (
        Panel(
            "Schedules",
            "When each is due next; late where that is past, the latest first.",
            (Metrics(f"max by (schedule_name) (celery_beat_next_due_timestamp_seconds{{{ENV}}})"
                     " - time()"),),
            "table", empty=_UNREAD, sort="Due in", least_first=True,
            columns=(Column("schedule_name", "Schedule"),
                     Column("Value", "Due in", "s", ((-1e12, "red"), (0.0, "green")))),
        ),
        Panel(
            "Missed",
            "Times at which a schedule was due and nothing was sent, in the time shown.",
            (Metrics(f"round(sum by (schedule_name) ({rise('celery_beat_missed_total', ENV)}))"),),
            "table", empty=_UNREAD, sort="Missed",
            columns=(Column("schedule_name", "Schedule"),
                     Column("Value", "Missed", None, ((1.0, "red"),))),
        ),
    )  # fmt: skip


def _losses() -> tuple[Panel, ...]:
    lost = f'{ENV}, status="lost"'
    return (
        Panel(
            "Lost deliveries",
            "Deliveries that ended with their process, in the time shown.",
            (Metrics(f"round(sum by (task_type, pipeline_name) ({rise(_TASKS, lost)})) > 0"),),
            "table", width=8, sort="Lost", empty="No lost delivery is known",
            columns=(Column("pipeline_name", "Pipeline"), Column("task_type", "Type"),
                     Column("Value", "Lost")),
        ),
        Panel(
            "Latest failures and losses",
            "Log records of deliveries that failed, were lost, rejected, or named no known task.",
            (Records("event_name:(task_failed OR task_lost OR task_rejected OR task_unknown) AND "
                     f"{RECORD_ENV}"),),
            "records", width=16, empty="No failure is known",
        ),
    )  # fmt: skip
