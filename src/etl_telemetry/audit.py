"""Audit events: who did what to which resource, and how it ended.

The one part of the library that raises: an action that must be audited must not
happen unaudited. Events are records of the standard logger `etl_telemetry.audit`,
so that any handler can keep them, and go their own way in every backend.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from enum import Enum
from uuid import UUID

from etl_telemetry import redaction, values
from etl_telemetry.catalogue import (
    AUDIT_ACTOR,
    AUDIT_DETAILS,
    AUDIT_ORGANIZATION,
    AUDIT_OUTCOME,
    AUDIT_RESOURCE_ID,
    AUDIT_RESOURCE_TYPE,
    AUDIT_SCOPE,
    PIPELINE_ORGANIZATION,
    UNKNOWN,
)
from etl_telemetry.errors import AuditError
from etl_telemetry.logs import current_fields

OUTCOMES = ("success", "failure", "unknown")
"""How an audited action can end, as in the Elastic Common Schema."""

ActorProvider = Callable[[], object]
"""Return the id of the user on whose behalf the current code runs, or None."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_MAX_NAME = 100
_MAX_TEXT = 1_024
_log = logging.getLogger(AUDIT_SCOPE)


def record(
    event_type: str,
    *,
    resource: Mapping[str, object],
    actor: object = None,
    organization: object = None,
    outcome: str = "success",
    details: Mapping[str, object] | None = None,
) -> None:
    """Write an audit event, or raise `AuditError`.

    `event_type` is one of `catalogue.AUDIT_EVENTS` or any other name in
    snake_case. `resource` is what was acted on: ``{"type": ..., "id": ...}``.
    `actor` is the id of who really did it; without one the actor provider is
    asked (with Django: the current user), and where that knows nobody it is
    ``unknown``. `organization` is the tenant; without one that of the current run.
    `details` may hold anything, such as `before` and `after`; values under names
    that look like secrets are hidden. The trace comes from the record.

    Raises `AuditError` where no handler would keep the event, and for arguments
    that do not make one; nothing was written then.

    >>> kept = logging.StreamHandler()  # What logging_config() and setup_telemetry() do for you.
    >>> logging.getLogger("etl_telemetry.audit").addHandler(kept)
    >>> logging.getLogger("etl_telemetry.audit").setLevel(logging.INFO)
    >>> record(
    ...     "pipeline_updated",
    ...     actor=7,
    ...     resource={"type": "pipeline", "id": 42},
    ...     details={"before": {"name": "a"}, "after": {"name": "b"}},
    ... )
    >>> logging.getLogger("etl_telemetry.audit").removeHandler(kept)
    >>> logging.getLogger("etl_telemetry.audit").setLevel(logging.NOTSET)
    """
    try:
        name = _event(event_type)
        fields = {
            AUDIT_ACTOR: _actor(actor),
            **_organization(organization),
            **_resource(resource),
            AUDIT_OUTCOME: _outcome(outcome),
            AUDIT_DETAILS: _details(details),
        }
    except AuditError:
        raise
    except Exception as error:  # Code of the application, in a value that was looked at.
        raise AuditError(
            f"an argument of the audit event {_shown(event_type)} could not be read: "
            f"{type(error).__name__}"
        ) from error
    _require_place()
    # `findCaller` skips this frame: module and line of the record are the application's.
    _log.info(name, extra=fields, stacklevel=2)


def has_place() -> bool:
    """Tell whether some handler would keep an audit event."""
    return _log.isEnabledFor(logging.INFO) and _has_handler(_log)


def set_actor_provider(provider: ActorProvider | None) -> None:
    """Set who is asked for the actor of an event that names none; None: nobody.

    The Django part sets one that knows the current user.

    >>> set_actor_provider(lambda: None)
    """
    if provider is not None and not callable(provider):
        raise TypeError(f"an actor provider must be a function or None, got {provider!r}")
    _provider.ask = provider


class _Provider:
    """Hold the actor provider of this process."""

    __slots__ = ("ask",)

    def __init__(self) -> None:
        self.ask: ActorProvider | None = None


_provider = _Provider()


def _require_place() -> None:
    if not _log.isEnabledFor(logging.INFO):
        raise AuditError(
            f"no audit event can be written: the logger {AUDIT_SCOPE!r} does not take level INFO. "
            "Set its level to INFO and disable_existing_loggers to False in LOGGING, and let "
            "nothing call logging.disable()"
        )
    if not _has_handler(_log):
        raise AuditError(
            f"no audit event can be written: no handler keeps what {AUDIT_SCOPE!r} logs at level "
            "INFO. Use etl_telemetry.logging_config() as LOGGING, which gives it a file, "
            "call setup_telemetry(), or add a handler to that logger"
        )


def _has_handler(logger: logging.Logger) -> bool:
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            if handler.level <= logging.INFO and not isinstance(handler, logging.NullHandler):
                return True
        current = current.parent if current.propagate else None
    return False


def _event(name: object) -> str:
    if not isinstance(name, str) or len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise AuditError(
            f"the name of an audit event must be snake_case of at most {_MAX_NAME} characters, "
            f"such as 'pipeline_updated', got {_shown(name)}"
        )
    return str.__str__(name)


def _organization(organization: object) -> dict[str, object]:
    if organization is None:
        organization = current_fields().get(PIPELINE_ORGANIZATION)
    return (
        {}
        if organization is None
        else {AUDIT_ORGANIZATION: _text(organization, what="organization")}
    )


def _resource(resource: object) -> dict[str, object]:
    if not isinstance(resource, Mapping) or set(resource) != {"type", "id"}:
        raise AuditError(
            "the resource of an audit event must be a mapping with 'type' and 'id', such as "
            f"{{'type': 'pipeline', 'id': 42}}, got {_shown(resource)}"
        )
    return {
        AUDIT_RESOURCE_TYPE: _text(resource["type"], what="type of the resource"),
        AUDIT_RESOURCE_ID: _text(resource["id"], what="id of the resource"),
    }


def _outcome(outcome: object) -> str:
    for known in OUTCOMES:
        if isinstance(outcome, str) and outcome == known:
            return known
    raise AuditError(
        f"the outcome of an audit event must be one of {', '.join(OUTCOMES)}, got {_shown(outcome)}"
    )


def _actor(actor: object) -> str:
    if actor is None and _provider.ask is not None:
        try:
            actor = _provider.ask()
        except Exception as error:
            raise AuditError(
                f"the actor provider failed with {type(error).__name__}: name the actor of the "
                "audit event, or mend the function given to set_actor_provider()"
            ) from error
    return UNKNOWN if actor is None else _text(actor, what="actor")


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
