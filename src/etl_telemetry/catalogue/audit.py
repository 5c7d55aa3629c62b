"""Every audit event, and the fields of an audit record."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from etl_telemetry.catalogue.names import (
    AUDIT_ACTOR,
    AUDIT_DETAILS,
    AUDIT_ORGANIZATION,
    AUDIT_OUTCOME,
    AUDIT_RESOURCE_ID,
    AUDIT_RESOURCE_TYPE,
)

AUDIT_EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "user_login": "A user signed in.",
        "user_logout": "A user signed out.",
        "user_login_failed": "A sign-in failed.",
        "pipeline_created": "A pipeline was created.",
        "pipeline_updated": "A pipeline was changed.",
        "pipeline_deleted": "A pipeline was deleted.",
        "pipeline_execution_started": "A run began.",
        "pipeline_execution_finished": "A run ended.",
        "permission_changed": "A permission was granted or taken.",
        "connector_created": "A connector was created.",
        "connector_updated": "A connector was changed.",
        "connector_deleted": "A connector was deleted.",
        "connector_credentials_used": "An operation used the credentials of a connector.",
        "password_changed": "The password of a user was changed.",
        "audit_pruned": "Old audit events were deleted by the retention command.",
    }
)
"""Audit events by name; any other snake_case name is allowed too."""

AUDIT_FIELDS: tuple[str, ...] = (
    AUDIT_ACTOR, AUDIT_ORGANIZATION, AUDIT_RESOURCE_TYPE, AUDIT_RESOURCE_ID, AUDIT_OUTCOME,
    AUDIT_DETAILS,
)  # fmt: skip
"""Fields of every audit event; its name is the message, its trace comes from the record."""
