"""The tables of the app, each made in its own room."""

from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.audit.models import AuditBlock, AuditChain, AuditRow
from etl_telemetry.django.dashboard.models import Snapshot
from etl_telemetry.django.ledger.models import Ledger, RunEnd, RunTotal

__all__ = [
    "Alert",
    "AuditBlock",
    "AuditChain",
    "AuditRow",
    "Ledger",
    "RunEnd",
    "RunTotal",
    "Snapshot",
]
