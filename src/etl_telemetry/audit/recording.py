"""Write an audit event to its place: a store that keeps it, or the logger `etl_telemetry.audit`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from opentelemetry.trace import SpanContext

from etl_telemetry.audit.event import AuditEvent, made
from etl_telemetry.catalogue import AUDIT_SCOPE, LOG_RECORD_UID, PIPELINE_RUN_ID
from etl_telemetry.errors import AuditError
from etl_telemetry.logs import records

_log = logging.getLogger(AUDIT_SCOPE)


class Store(Protocol):
    """A place that keeps audit events, such as a table beside the data that they are about."""

    def has_place(self) -> bool:
        """Tell whether it could keep an event now."""

    def keep(self, event: AuditEvent) -> bool:
        """Keep the event and return True; False where it has no place; raise `AuditError`."""


class _Place:
    """Hold what keeps audit events in this process."""

    __slots__ = ("exporting", "showing", "store")

    def __init__(self) -> None:
        self.showing = False
        self.store: Store | None = None
        self.exporting: Callable[[], bool] = _never


def _never() -> bool:
    return False


_place = _Place()


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
    `actor` is the id of who really did it; without one it is who is `acting`, then
    the actor provider is asked (with Django: the current user), and where that knows
    nobody it is ``unknown``. `organization` is the tenant; without one that of the
    current run, of who is `acting`, or of the tenant provider.
    `details` may hold anything, such as `before` and `after`; values under names
    that look like secrets are hidden. The trace is the current one.

    With Django the event becomes a row, in the transaction that is open: it is there
    if that commits, and only then. Else it is a record of the logger
    `etl_telemetry.audit`.

    Raises `AuditError` where nothing would keep the event, and for arguments
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
    event = made(
        event_type,
        resource=resource,
        actor=actor,
        organization=organization,
        outcome=outcome,
        details=details,
    )
    if _place.store is not None and _place.store.keep(event):
        return
    _require_place()
    # `findCaller` skips this frame: module and line of the record are the application's.
    _log.info(event.name, extra=event.fields(), stacklevel=2)


def tell(event: AuditEvent) -> None:
    """Keep an event of something that happens whether it is audited or not, such as a run.

    Where the store cannot keep it (in a coroutine, in a transaction that is broken) the logger
    does. Raise `AuditError` where that has no place either.
    """
    try:
        if _place.store is not None and _place.store.keep(event):
            return
    except AuditError:
        if not has_log_place():
            raise
    _require_place()
    _log.info(event.name, extra=event.fields())


def publish(event: AuditEvent, *, uid: str, at: float, span: SpanContext, run_id: str = "") -> None:
    """Write an event that was kept to the logger, as it was then; raise `AuditError` without place.

    `uid` makes what is written twice one document, `at` is its time in Unix seconds, `span`
    the span in which it was made, `run_id` the run of which it was part.
    """
    _require_place()
    made_then = _log.makeRecord(
        _log.name, logging.INFO, __file__, 0, event.name, (), None,
        extra={**event.fields(), LOG_RECORD_UID: uid},
    )  # fmt: skip
    made_then.created = at
    made_then.msecs = at % 1 * 1_000
    context = {PIPELINE_RUN_ID: run_id} if run_id else {}
    setattr(made_then, records.SNAPSHOT, (context, span))
    _log.handle(made_then)


def show(event: AuditEvent, *, uid: str, at: float, span: SpanContext, run_id: str = "") -> None:
    """Publish an event that a store has just kept, if a test kit asked for that; see `publish`."""
    if _place.showing and has_log_place():
        publish(event, uid=uid, at=at, span=span, run_id=run_id)


def set_showing(showing: bool) -> None:  # noqa: FBT001 - a setter
    """Set whether what a store keeps is shown at once, before it is committed: for tests.

    >>> set_showing(False)
    """
    _place.showing = showing


def has_store() -> bool:
    """Tell whether this process has a store of audit events, with or without its place.

    >>> has_store()
    False
    """
    return _place.store is not None


def has_place() -> bool:
    """Tell whether something would keep an audit event."""
    stored = _place.store is not None and _place.store.has_place()
    return stored or has_log_place()


def has_log_place() -> bool:
    """Tell whether some handler, or the log bridge, would keep an audit event."""
    return _log.isEnabledFor(logging.INFO) and (_has_handler(_log) or _place.exporting())


def set_store(store: Store | None) -> None:
    """Set what keeps audit events in this process, before the logger; None: nothing.

    The Django part sets one that writes rows.

    >>> set_store(None)
    """
    _place.store = store


def set_exporting(ask: Callable[[], bool] | None) -> None:
    """Set who tells whether the log bridge exports audit events; None: it does not.

    The bridge is in no list of handlers (`runtime.log_bridge`), so it must be asked.

    >>> set_exporting(None)
    """
    _place.exporting = ask or _never


def _require_place() -> None:
    if not _log.isEnabledFor(logging.INFO):
        raise AuditError(
            f"no audit event can be written: the logger {AUDIT_SCOPE!r} does not take level INFO. "
            "Set its level to INFO and disable_existing_loggers to False in LOGGING, and let "
            "nothing call logging.disable()"
        )
    if not has_log_place():
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
