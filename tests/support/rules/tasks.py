"""Cases of the alerts on tasks and queues."""

from __future__ import annotations

from support.rules.case import Case, labels, series


def _tasks(status: str, type_: str = "load", instance: str = "a") -> str:
    of = {"task_type": type_, "status": status, "pipeline_name": "daily"}
    return series("task_executions_total", instance, **of)


_QUEUE = series("celery_queue_size", "observer", queue_name="etl")
_QUEUES = (
    Case("HighQueueSize", "fires", "a message too many", {_QUEUE: "1001x10"},
         at="3m", firing=(labels(queue_name="etl"),),
         summary="Queue etl: 1001 messages wait"),
    Case("HighQueueSize", "quiet", "exactly as many as are allowed", {_QUEUE: "1000x10"}, at="10m"),
    Case("HighQueueSize", "quiet", "a peak of a minute", {_QUEUE: "0 5000 0x8"}, at="5m"),
    Case("HighQueueSize", "missing", "the broker is down: the series has ended",
         {_QUEUE: "1001x1 stale"}, at="10m"),
    Case("HighQueueSize", "restart", "two observers for a moment are not twice as many messages",
         {_QUEUE: "600x10", series("celery_queue_size", "new", queue_name="etl"): "600x10"},
         at="10m"),
    Case("HighQueueSize", "labels", "the queue that is full, and no other",
         {_QUEUE: "1001x10", series("celery_queue_size", "observer", queue_name="mail"): "1x10"},
         at="10m", firing=(labels(queue_name="etl"),)),
)  # fmt: skip

_OF = labels(task_type="load", pipeline_name="daily")
_LOST = (
    Case("TaskLost", "fires", "a single one is told at once", {_tasks("lost"): "0x5 1x20"},
         at="6m", firing=(_OF,), summary="daily: 1 lost deliveries of load tasks"),
    Case("TaskLost", "quiet", "half an hour after the last one", {_tasks("lost"): "0x5 1x60"},
         at="40m"),
    Case("TaskLost", "missing", "nothing was ever lost", {_tasks("success"): "0+1x20"}, at="20m"),
    Case("TaskLost", "restart", "a process that begins again at zero has lost nothing new",
         {_tasks("lost"): "3x30 0x30"}, at="45m"),
    Case("TaskLost", "labels", "failed, retried and revoked deliveries are not lost ones",
         {_tasks("failed"): "0+1x20", _tasks("retried"): "0+1x20", _tasks("revoked"): "0+1x20"},
         at="20m"),
)  # fmt: skip

_AGE = series("step_heartbeat_age_seconds", pipeline_name="daily", step_type="load")
_STEP = labels(pipeline_name="daily", step_type="load")
_STALLED = (
    Case("TaskStalled", "fires", "nothing for twenty minutes", {_AGE: "0+60x30"},
         at="20m", firing=(_STEP,),
         summary="daily, step load: no sign of life for 20m 0s"),
    Case("TaskStalled", "quiet", "a row every few minutes", {_AGE: "0+60x10 0+60x10"}, at="15m"),
    Case("TaskStalled", "missing", "the step has ended, and its series", {_AGE: "0+60x5 stale"},
         at="30m"),
    Case("TaskStalled", "restart", "it is delivered again to another worker",
         {_AGE: "0+60x5 stale",
          series("step_heartbeat_age_seconds", "b", pipeline_name="daily", step_type="load"):
              "_x6 0+60x10"}, at="15m"),
    Case("TaskStalled", "labels", "one of two workers that run the step is enough",
         {_AGE: "0+60x30",
          series("step_heartbeat_age_seconds", "b", pipeline_name="daily", step_type="load"):
              "1x30"}, at="20m", firing=(_STEP,)),
)  # fmt: skip

_FAILURES = (
    Case("TaskFailureRate", "fires", "one of five fails",
         {_tasks("failed"): "0+1x30", _tasks("success"): "0+4x30"},
         at="25m", firing=(labels(task_type="load"),), summary="20% of the load tasks fail"),
    Case("TaskFailureRate", "quiet", "one of twenty-one fails",
         {_tasks("failed"): "0+1x30", _tasks("success"): "0+20x30"}, at="25m"),
    Case("TaskFailureRate", "quiet", "five failures of five deliveries are few",
         {_tasks("failed"): "0x18 5x12"}, at="25m"),
    Case("TaskFailureRate", "missing", "nothing has failed yet",
         {_tasks("success"): "0+4x30"}, at="25m"),
    Case("TaskFailureRate", "restart", "both counters begin again",
         {_tasks("failed"): "0+1x18 0+1x12", _tasks("success"): "0+20x18 0+20x12"}, at="25m"),
    Case("TaskFailureRate", "labels", "a retry is not an end; another type is another alert",
         {_tasks("failed"): "0+1x30", _tasks("success"): "0+4x30", _tasks("retried"): "0+90x30",
          _tasks("success", "extract"): "0+9x30"},
         at="25m", firing=(labels(task_type="load"),)),
)  # fmt: skip

_WORKER = series("celery_worker_up", "observer", worker_name="etl@one")
_WORKERS = (
    Case("CeleryWorkerDown", "fires", "it has not answered for five minutes",
         {_WORKER: "1x5 0x20"}, at="12m", firing=(labels(worker_name="etl@one"),),
         summary="Worker etl@one does not answer any more"),
    Case("CeleryWorkerDown", "quiet", "it answers", {_WORKER: "1x20"}, at="12m"),
    Case("CeleryWorkerDown", "missing", "it has been gone for so long that its series has ended",
         {_WORKER: "1x5 0x1 stale"}, at="12m"),
    Case("CeleryWorkerDown", "restart", "it comes back", {_WORKER: "1x5 0x1 1x20"}, at="12m"),
    Case("CeleryWorkerDown", "labels", "the worker that is gone, and no other",
         {_WORKER: "0x20", series("celery_worker_up", "observer", worker_name="etl@two"): "1x20"},
         at="12m", firing=(labels(worker_name="etl@one"),)),
)  # fmt: skip

_ASKED = series("observer_readings_total", observer_source="workers", status="success")
_SECOND = series("celery_worker_up", "observer", worker_name="etl@two")
_NOBODY = (
    Case("NoWorkerAnswers", "fires", "the last worker went two hours ago, and its series after it",
         {_WORKER: "1x60 0x14 stale", _ASKED: "0+4x300"}, at="3h", firing=(labels(),),
         summary="No worker answers any more"),
    Case("NoWorkerAnswers", "fires", "both have gone, for twelve minutes",
         {_WORKER: "1x60 0x14", _SECOND: "1x60 0x14", _ASKED: "0+4x300"},
         at="73m", firing=(labels(),)),
    Case("NoWorkerAnswers", "quiet", "one of two has gone",
         {_WORKER: "1x60 0x14 stale", _SECOND: "1x300", _ASKED: "0+4x300"}, at="3h"),
    Case("NoWorkerAnswers", "quiet", "the last one went a day ago: taken away on purpose",
         {_WORKER: "1x60 0x14 stale", _ASKED: "0+4x1600"}, at="26h"),
    Case("NoWorkerAnswers", "missing", "nobody can ask them: another alert tells",
         {_WORKER: "1x60 stale", _ASKED: "0+4x60 240x300"}, at="3h"),
    Case("NoWorkerAnswers", "missing", "no worker was ever there", {_ASKED: "0+4x300"}, at="3h"),
    Case("NoWorkerAnswers", "restart", "all are restarted, which takes some minutes",
         {_WORKER: "1x60 0x5 1x300", _ASKED: "0+4x300"}, at="70m"),
    Case("NoWorkerAnswers", "labels", "each environment has its own",
         {_WORKER: "1x60 0x14 stale", _ASKED: "0+4x300",
          series("celery_worker_up", worker_name="t", deployment_environment_name="test"): "1x300",
          series("observer_readings_total", observer_source="workers", status="success",
                 deployment_environment_name="test"): "0+4x300"},
         at="3h", firing=(labels(),)),
)  # fmt: skip

_MISSED = series("celery_beat_missed_total", "observer", schedule_name="nightly")
_SCHEDULES = (
    Case("MissedSchedule", "fires", "once is enough", {_MISSED: "0x5 1x30"},
         at="7m", firing=(labels(schedule_name="nightly"),), value="1",
         summary="Schedule nightly was due and nothing was sent"),
    Case("MissedSchedule", "quiet", "an hour later", {_MISSED: "0x5 1x90"}, at="60m"),
    Case("MissedSchedule", "missing", "there is no observer", {}, at="20m"),
    Case("MissedSchedule", "restart", "another observer goes on from zero",
         {_MISSED: "2x20 0x40"}, at="30m"),
    Case("MissedSchedule", "labels", "the schedule that was missed, and no other",
         {_MISSED: "0x5 1x30",
          series("celery_beat_missed_total", "observer", schedule_name="hourly"): "0x40"},
         at="10m", firing=(labels(schedule_name="nightly"),)),
)  # fmt: skip

CASES = (*_QUEUES, *_LOST, *_STALLED, *_FAILURES, *_WORKERS, *_NOBODY, *_SCHEDULES)
"""All of them."""
