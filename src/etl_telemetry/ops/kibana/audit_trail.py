"""Dashboard: who did what, and how it ended."""

from __future__ import annotations

from etl_telemetry.catalogue import (
    AUDIT_ACTOR,
    AUDIT_ORGANIZATION,
    AUDIT_OUTCOME,
    AUDIT_RESOURCE_ID,
    AUDIT_RESOURCE_TYPE,
)
from etl_telemetry.ops.kibana.model import (
    Chart,
    Dashboard,
    Filter,
    Group,
    Measure,
    Search,
    attribute,
)
from etl_telemetry.ops.kibana.views import AUDIT

_NAME = "body.text.keyword"
_EVENT = Group("Event", _NAME, size=20)
_OUTCOME = Group("Outcome", attribute(AUDIT_OUTCOME))
_COUNT = (Measure("Events"),)
_FAILURE = Filter(attribute(AUDIT_OUTCOME), ("failure",))

_OVER_TIME = Chart(
    "etl-audit-by-event", "Events", AUDIT, "bars",
    measures=_COUNT, groups=(_EVENT,), over_time=True,
)  # fmt: skip
_TABLE = Chart(
    "etl-audit-by-outcome", "Events by outcome", AUDIT, "table",
    measures=_COUNT, groups=(_EVENT, _OUTCOME),
)  # fmt: skip
_ACTORS = Chart(
    "etl-audit-by-actor", "Who", AUDIT, "table",
    measures=(*_COUNT, Measure("Resources", "unique_count", attribute(AUDIT_RESOURCE_ID))),
    groups=(Group("Actor", attribute(AUDIT_ACTOR), size=20), _EVENT),
)  # fmt: skip
_TENANTS = Chart(
    "etl-audit-by-organization", "For whom", AUDIT, "bars",
    measures=_COUNT, groups=(Group("Organization", attribute(AUDIT_ORGANIZATION), size=20),),
)  # fmt: skip
_REFUSED = Chart(
    "etl-audit-sign-ins-failed", "Sign-ins that failed", AUDIT, "number",
    measures=_COUNT, filters=(Filter(_NAME, ("user_login_failed",)),),
)  # fmt: skip

_COLUMNS = (
    "body.text", attribute(AUDIT_ACTOR), attribute(AUDIT_ORGANIZATION),
    attribute(AUDIT_RESOURCE_TYPE), attribute(AUDIT_RESOURCE_ID), attribute(AUDIT_OUTCOME),
    "trace_id",
)  # fmt: skip
TRAIL = Search("etl-audit-trail-records", "Audit trail", AUDIT, _COLUMNS, (), "Every audit event.")
FAILURES = Search(
    "etl-audit-failures", "Audit events that ended badly", AUDIT, _COLUMNS, (_FAILURE,),
    "Failed runs, sign-ins and changes.",
)  # fmt: skip

DASHBOARD = Dashboard(
    "etl-audit-trail", "ETL: audit trail", "Who did what to which resource, and how it ended.",
    AUDIT,
    {
        "Actor": attribute(AUDIT_ACTOR),
        "Organization": attribute(AUDIT_ORGANIZATION),
        "Event": _NAME,
    },
    ((_REFUSED, _OVER_TIME), (_TABLE, _ACTORS, _TENANTS), (TRAIL,)),
)  # fmt: skip
