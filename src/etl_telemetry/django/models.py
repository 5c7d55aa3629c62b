"""The models of this app, where Django looks for them; each lives in its room."""

from etl_telemetry.django.audit.models import AuditBlock, AuditChain, AuditRow

__all__ = ["AuditBlock", "AuditChain", "AuditRow"]
