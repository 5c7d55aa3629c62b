"""Show every record to the bridge exactly once, however the host arranges its handlers.

The bridge is not put into anybody's list of handlers. It is called by
`Logger.callHandlers`, through which each record of each logger passes once, after
levels and filters of the logger, whether the logger propagates or not. Why:

- Handlers get lost: `dictConfig`, `fileConfig`, `basicConfig(force=True)` and Celery's
  hijack remove them from the root logger, and a logger that stops propagating, now or
  later, needs one of its own. Each such hole needs a patch of its own, and has a moment
  in which records are lost or doubled.
- A handler on the root logger changes what the host sees: `basicConfig()` and Celery
  (`worker_hijack_root_logger=False`) then add no console, since "logging is configured",
  and warnings of an unconfigured logger no longer reach standard error.

`callHandlers` is not a documented hook. Sentry's SDK has used it the same way for years;
`tests/runtime/log_bridge` proves what we rely on. Delete this when logging
offers a hook for all records.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from etl_telemetry.catalogue import AUDIT_SCOPE
from etl_telemetry.runtime.log_handler import Bridge

__all__ = ["Bridge", "attach", "detach", "reattach", "takes_info"]

_MAX_WRAPS = 10
_REDIRECTED = "celery.redirected"

_log = logging.getLogger("etl_telemetry")
CallHandlers = Callable[..., None]


@dataclass(slots=True)
class _State:
    """What is attached in this process. Without a lock, which a fork could leave held."""

    wanted: Bridge | None = None
    """The bridge that was attached."""
    active: Bridge | None = None
    """The same, or None while another distribution exports the records."""
    wrapper: CallHandlers | None = None
    """Our newest `Logger.callHandlers`; an older one below it only passes records on."""
    before: CallHandlers | None = None
    """What it wraps."""
    wraps: int = 0
    """How often we wrapped: an end to a fight with somebody who replaces ours."""
    warned: bool = False
    """Whether the other distribution was logged."""
    level_is_ours: bool = False
    """Whether set-up, not the host, let our events below the root logger's level through."""


class _Passing(threading.local):
    """The records that pass through this thread now: one, unless a handler logs."""

    def __init__(self) -> None:
        self.records: list[logging.LogRecord] = []


_state = _State()
_passing = _Passing()


def attach(handler: Bridge, *, level_is_ours: bool = False) -> bool:
    """Send all records to `handler`, in place of one attached before; return whether it is.

    `level_is_ours`: the host gave the logger `etl_telemetry` no level, set-up did. Then
    our events below the root logger's level go to `handler` only, and not to a console
    that was asked for less (`celery worker --loglevel WARNING`).

    False where another distribution's OpenTelemetry handler sits on the root
    logger (`LoggingInstrumentor`, `opentelemetry-instrument`): it exports the
    records already, and the host chose it. That is logged once.
    """
    _state.wanted = handler
    _state.level_is_ours = level_is_ours
    return reattach()


def detach(handler: Bridge) -> None:
    """Stop sending records to `handler`, close it, and leave `logging` as it was found."""
    handler.close()
    if _state.wanted is not handler:
        return
    _state.wanted = _state.active = None
    _state.warned = False
    if _state.before is not None and logging.Logger.callHandlers is _state.wrapper:
        logging.Logger.callHandlers = _state.before  # type: ignore[method-assign]
        _state.wrapper = _state.before = None
        _state.wraps = 0
    # Else somebody wrapped ours: it stays below theirs, and passes records on.


def reattach() -> bool:
    """See that the attached handler still gets all records; return whether it does.

    Cheap and idempotent. Only needed after something replaced `Logger.callHandlers`, put
    another OpenTelemetry handler on the root logger, or disabled the existing loggers.
    """
    if _state.wanted is None:
        return False
    _enable_ours()
    other = _other_distribution()
    if other is not None:
        _state.active = None
        _tell(other)
        return False
    _state.active = _state.wanted
    if logging.Logger.callHandlers is not _state.wrapper and _state.wraps < _MAX_WRAPS:
        _wrap()
    return True


def takes_info() -> bool:
    """Tell whether records of level INFO go to a bridge in this process.

    >>> takes_info()
    False
    """
    return _state.active is not None and _state.active.level <= logging.INFO


def _enable_ours() -> None:
    """Switch our own loggers on again after a `dictConfig` with `disable_existing_loggers`.

    That is its default, and means what the host forgot to name. Without this every record
    of a run and a task is gone, and `audit.record` raises. To silence ours there are levels.
    """
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and f"{name}.".startswith(f"{_log.name}."):
            logger.disabled = False


def _wrap() -> None:
    before = logging.Logger.callHandlers

    @wraps(before)
    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        bridge = _state.active
        if bridge is None or record.levelno < bridge.level:
            return before(logger, record)
        passing = _passing.records
        if passing and (record.name == _REDIRECTED or any(one is record for one in passing)):
            # A handler hands the record on to another logger, or writes its line to Celery's
            # stand-in for standard error, which makes a record of it.
            return before(logger, record)
        passing.append(record)
        try:
            # First, so that fields that the host's handlers add are seen.
            if not _for_us_only(record):
                before(logger, record)
        finally:
            passing.pop()
            bridge.handle(record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign, assignment]
    _state.before, _state.wrapper = before, call_handlers
    _state.wraps += 1


def _for_us_only(record: logging.LogRecord) -> bool:
    """Tell whether the host's handlers would not get the record without us."""
    return (
        record.levelno < logging.root.level
        and _state.level_is_ours
        and record.name.startswith(_log.name)
        and record.name != AUDIT_SCOPE  # Its handlers are its place to be written.
    )


def _other_distribution() -> logging.Handler | None:
    """Return an OpenTelemetry handler on the root logger that is not ours.

    By name, since the SDK has a deprecated one too, which must not be imported.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Bridge):
            continue
        for kind in type(handler).__mro__:
            if kind.__name__ == "LoggingHandler" and kind.__module__.startswith("opentelemetry."):
                return handler
    return None


def _tell(other: logging.Handler) -> None:
    if _state.warned:
        return
    _state.warned = True
    _log.warning(
        "log_bridge_not_attached",
        extra={"where": f"{type(other).__module__}.{type(other).__qualname__}"},
    )
