"""Audit events: who did what to which resource, and how it ended.

The one room that raises: an action that must be audited must not happen unaudited.
"""

from etl_telemetry.audit.actors import (
    Acting,
    acting,
    attach,
    carried,
    set_actor_provider,
    set_tenant_provider,
)
from etl_telemetry.audit.event import OUTCOMES, AuditEvent, made
from etl_telemetry.audit.recording import (
    Store,
    has_log_place,
    has_place,
    has_store,
    publish,
    record,
    set_exporting,
    set_showing,
    set_store,
    show,
    tell,
)

__all__ = [
    "OUTCOMES",
    "Acting",
    "AuditEvent",
    "Store",
    "acting",
    "attach",
    "carried",
    "has_log_place",
    "has_place",
    "has_store",
    "made",
    "publish",
    "record",
    "set_actor_provider",
    "set_exporting",
    "set_showing",
    "set_store",
    "set_tenant_provider",
    "show",
    "tell",
]
