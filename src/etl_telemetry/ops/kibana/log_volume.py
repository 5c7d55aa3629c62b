"""Dashboard: how many records there are, and who writes them."""

from __future__ import annotations

from etl_telemetry.catalogue import (
    DEPLOYMENT_ENVIRONMENT_NAME,
    HOST_NAME,
    PIPELINE_NAME,
    SERVICE_NAME,
    TASK_NAME,
    TASK_STATUS,
    TASK_TYPE,
)
from etl_telemetry.ops.kibana.model import (
    Chart,
    Dashboard,
    Filter,
    Group,
    Search,
    attribute,
    resource,
)
from etl_telemetry.ops.kibana.views import LOGS

_LEVEL = Group("Level", "severity_text")
_LEVELS = Chart(
    "etl-records-by-level", "Records by level", LOGS, "bars", groups=(_LEVEL,), over_time=True
)
_SERVICES = Chart(
    "etl-records-by-service", "Records by service", LOGS, "bars",
    groups=(Group("Service", resource(SERVICE_NAME)),), over_time=True,
)  # fmt: skip
_TOTAL = Chart("etl-records", "Records", LOGS, "number")
_LOGGERS = Chart(
    "etl-records-by-logger", "Records by logger and level", LOGS, "table",
    groups=(Group("Logger", "scope.name", size=20), _LEVEL),
)  # fmt: skip
_EVENTS = Chart(
    "etl-records-by-event", "Events of the library", LOGS, "table",
    groups=(Group("Event", "event_name", size=30),),
    description="What the library itself logs; the catalogue has each with a sentence.",
)  # fmt: skip
_PIPELINES = Chart(
    "etl-records-by-pipeline", "Records by pipeline", LOGS, "bars",
    groups=(Group("Pipeline", attribute(PIPELINE_NAME), size=20),),
)  # fmt: skip
TASKS = Search(
    "etl-task-trouble", "Tasks that did not simply succeed", LOGS,
    ("event_name", attribute(TASK_NAME), attribute(TASK_TYPE), attribute(TASK_STATUS),
     attribute(PIPELINE_NAME), "trace_id"),
    (Filter("event_name", ("task_failed", "task_lost", "task_rejected", "task_retried",
                           "task_revoked", "task_unknown")),),
    "Failed, lost, rejected, retried, revoked, unknown.",
)  # fmt: skip

DASHBOARD = Dashboard(
    "etl-log-volume", "ETL: log volume", "How many records, of which level, and who writes them.",
    LOGS,
    {
        "Environment": resource(DEPLOYMENT_ENVIRONMENT_NAME),
        "Service": resource(SERVICE_NAME),
        "Host": resource(HOST_NAME),
    },
    ((_TOTAL, _LEVELS, _SERVICES), (_LOGGERS, _EVENTS), (_PIPELINES,), (TASKS,)),
)  # fmt: skip
