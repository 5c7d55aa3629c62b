"""An audit event: its parts, checked one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from etl_telemetry import redaction, values
from etl_telemetry.audit import actors
from etl_telemetry.catalogue import (
    AUDIT_ACTOR,
    AUDIT_DETAILS,
    AUDIT_ORGANIZATION,
    AUDIT_OUTCOME,
    AUDIT_RESOURCE_ID,
    AUDIT_RESOURCE_TYPE,
    PIPELINE_ORGANIZATION,
    UNKNOWN,
)
from etl_telemetry.errors import AuditError
from etl_telemetry.logs import current_fields

OUTCOMES = ("success", "failure", "unknown")
"""How an audited action can end, as in the Elastic Common Schema."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_MAX_NAME = 100
_MAX_TEXT = 1_024


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what to which resource, and how it ended."""

    name: str
    """What was done: snake_case, at most 100 characters."""
    actor: str
    """Id of who did it, or `unknown`."""
    organization: str | None
    """Id of the tenant; None where none is known."""
    resource_type: str
    """What was acted on."""
    resource_id: str
    """Its id."""
    outcome: str
    """One of `OUTCOMES`."""
    details: Mapping[str, object]
    """More, redacted."""

    def fields(self) -> dict[str, object]:
        """Return the fields of its log record."""
        tenant = {} if self.organization is None else {AUDIT_ORGANIZATION: self.organization}
        return {
            AUDIT_ACTOR: self.actor,
            **tenant,
            AUDIT_RESOURCE_TYPE: self.resource_type,
            AUDIT_RESOURCE_ID: self.resource_id,
            AUDIT_OUTCOME: self.outcome,
            AUDIT_DETAILS: dict(self.details),
        }


def made(
    name: object,
    *,
    resource: object,
    actor: object = None,
    organization: object = None,
    outcome: object = "success",
    details: object = None,
) -> AuditEvent:
    """Return the event that these arguments make, or raise `AuditError`; see `record`.

    >>> made("pipeline_deleted", actor=7, resource={"type": "pipeline", "id": 42}).resource_id
    '42'
    """
    try:
        known = _event(name)
        actor = actors.current_actor() if actor is None else actor
        type_, id_ = _resource(resource)
        return AuditEvent(
            name=known,
            actor=UNKNOWN if actor is None else _text(actor, what="actor"),
            organization=_organization(organization),
            resource_type=type_,
            resource_id=id_,
            outcome=_outcome(outcome),
            details=_details(details),
        )
    except AuditError:
        raise
    except Exception as error:  # Code of the application, in a value that was looked at.
        raise AuditError(
            f"an argument of the audit event {_shown(name)} could not be read: "
            f"{type(error).__name__}"
        ) from error


def _event(name: object) -> str:
    if not isinstance(name, str) or len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise AuditError(
            f"the name of an audit event must be snake_case of at most {_MAX_NAME} characters, "
            f"such as 'pipeline_updated', got {_shown(name)}"
        )
    return str.__str__(name)


def _organization(organization: object) -> str | None:
    if organization is None:
        organization = current_fields().get(PIPELINE_ORGANIZATION)
    if organization is None:
        organization = actors.current_organization()
    return None if organization is None else _text(organization, what="organization")


def _resource(resource: object) -> tuple[str, str]:
    if not isinstance(resource, Mapping) or set(resource) != {"type", "id"}:
        raise AuditError(
            "the resource of an audit event must be a mapping with 'type' and 'id', such as "
            f"{{'type': 'pipeline', 'id': 42}}, got {_shown(resource)}"
        )
    return (
        _text(resource["type"], what="type of the resource"),
        _text(resource["id"], what="id of the resource"),
    )


def _outcome(outcome: object) -> str:
    for known in OUTCOMES:
        if isinstance(outcome, str) and outcome == known:
            return known
    raise AuditError(
        f"the outcome of an audit event must be one of {', '.join(OUTCOMES)}, got {_shown(outcome)}"
    )


def _text(value: object, *, what: str) -> str:
    """Return an id as text: what names nothing, or prints personal data, is refused."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)) or value == "":
        raise AuditError(
            f"the {what} of an audit event must be text, a whole number or a UUID, and not empty, "
            f"got {_shown(value)}"
        )
    exact = str.__str__(value) if isinstance(value, str) else value
    return values.text(exact, limit=_MAX_TEXT)


def _details(details: object) -> dict[str, object]:
    if details is None:
        return {}
    if not isinstance(details, Mapping):
        raise AuditError(f"the details of an audit event must be a mapping, got {_shown(details)}")
    # A copy, read here: the redaction would leave out what cannot be read.
    return redaction.mapping(dict(details))


def _shown(value: object) -> str:
    """Describe a wrong value by its type, since the value itself may be personal data."""
    if type(value) is str:
        return f"text of {len(value)} characters" if len(value) > _MAX_NAME else repr(value)
    return "None" if value is None else f"a value of type {type(value).__name__}"
