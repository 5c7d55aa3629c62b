"""Dashboard: which pipelines fail, and of what."""

from __future__ import annotations

from etl_telemetry.catalogue import (
    DEPLOYMENT_ENVIRONMENT_NAME,
    ERROR_TYPE,
    EXCEPTION_MESSAGE,
    EXCEPTION_TYPE,
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ID,
    PIPELINE_STATUS,
    TASK_NAME,
    TASK_STATUS,
    RunStatus,
)
from etl_telemetry.ops.kibana.model import (
    ERROR,
    LEVEL,
    SECONDS,
    Chart,
    Dashboard,
    Filter,
    Group,
    Measure,
    Search,
    attribute,
    resource,
)
from etl_telemetry.ops.kibana.views import ERRORS, LOGS

_PIPELINE = Group("Pipeline", attribute(PIPELINE_NAME))
_ENDED = Filter("event_name", ("pipeline_run_finished",))
_TASKS = Filter("event_name", ("task_failed", "task_lost", "task_rejected", "task_unknown"))
_NOT_WELL = Filter(attribute(PIPELINE_STATUS), (RunStatus.FAILED, RunStatus.LOST))

_OF_PIPELINES = Chart(
    "etl-errors-by-pipeline", "Errors by pipeline", ERRORS, "bars",
    measures=(Measure("Errors"),), groups=(Group("Pipeline", _PIPELINE.field, missing=True),),
    over_time=True,
)  # fmt: skip
_RUNS = Chart(
    "etl-runs-by-status", "Runs that ended, by status", LOGS, "bars",
    measures=(Measure("Runs"),), groups=(Group("Status", attribute(PIPELINE_STATUS)),),
    filters=(_ENDED,), over_time=True,
)  # fmt: skip
_FAILED_RUNS = Chart(
    "etl-failed-runs", "Failed and lost runs by pipeline", LOGS, "table",
    measures=(Measure("Runs"), Measure("Longest, s", "max", SECONDS)),
    groups=(_PIPELINE, Group("Status", attribute(PIPELINE_STATUS))),
    filters=(_ENDED, _NOT_WELL),
)  # fmt: skip
_KINDS = Chart(
    "etl-errors-by-type", "Of what: pipeline and exception", ERRORS, "table",
    measures=(Measure("Errors"), Measure("Runs", "unique_count", attribute(PIPELINE_RUN_ID))),
    groups=(_PIPELINE, Group("Exception", attribute(EXCEPTION_TYPE))),
)  # fmt: skip
_FAILED_TASKS = Chart(
    "etl-failed-tasks", "Tasks that failed or were lost", ERRORS, "table",
    measures=(Measure("Deliveries"),),
    groups=(Group("Task", attribute(TASK_NAME)), Group("Status", attribute(TASK_STATUS))),
    filters=(_TASKS,),
)  # fmt: skip

ERROR_RECORDS = Search(
    "etl-error-records", "Errors", LOGS,
    ("body.text", attribute(PIPELINE_NAME), attribute(PIPELINE_RUN_ID), attribute(EXCEPTION_TYPE),
     attribute(EXCEPTION_MESSAGE), "scope.name", "trace_id"),
    (Filter(LEVEL, at_least=ERROR),),
    "Every record of the level ERROR and above.",
)  # fmt: skip
FAILED_RUNS = Search(
    "etl-failed-run-records", "Failed and lost runs", LOGS,
    (attribute(PIPELINE_NAME), attribute(PIPELINE_ORGANIZATION), attribute(PIPELINE_STATUS),
     SECONDS, attribute(ERROR_TYPE), attribute(PIPELINE_RUN_ID), "trace_id"),
    (_ENDED, _NOT_WELL),
    "One record for each run; its trace id leads to Jaeger.",
)  # fmt: skip
RUN_RECORDS = Search(
    "etl-run-records", "Records of runs", LOGS,
    ("severity_text", "body.text", attribute(PIPELINE_NAME), attribute(PIPELINE_RUN_ID),
     attribute(TASK_NAME), "trace_id"),
    (Filter(attribute(PIPELINE_RUN_ID)),),
    "Add a filter on the run's id to read one run from begin to end.",
)  # fmt: skip

DASHBOARD = Dashboard(
    "etl-errors", "ETL: errors by pipeline", "Which pipelines fail, how often, and of what.", LOGS,
    {
        "Environment": resource(DEPLOYMENT_ENVIRONMENT_NAME),
        "Organization": attribute(PIPELINE_ORGANIZATION),
        "Pipeline": attribute(PIPELINE_NAME),
    },
    ((_OF_PIPELINES, _RUNS), (_FAILED_RUNS, _KINDS, _FAILED_TASKS), (ERROR_RECORDS,)),
)  # fmt: skip
