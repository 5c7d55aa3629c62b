"""Messages that never became a delivery: nobody's task, or no task at all.

Celery logs them with their content, and throws them away. Our records carry no content.
"""

from __future__ import annotations

import logging

from etl_telemetry import catalogue, guard, tracing, values

_log = logging.getLogger("etl_telemetry.celery")


def unknown(*, name: object, id: object, **_: object) -> None:  # noqa: A002 - the signal's word
    """Log that a message named a task that this worker does not have (`task_unknown`)."""
    with guard.absorb("celery task unknown"):
        fields = {catalogue.TASK_ID: values.text(id), catalogue.TASK_NAME: values.text(name)}
        _log.error("task_unknown", extra=fields)


def rejected(*, exc: BaseException | None, **_: object) -> None:
    """Log that a message was refused since it makes no sense (`task_rejected`)."""
    with guard.absorb("celery message rejected"):
        kind = catalogue.UNKNOWN if exc is None else tracing.type_name(type(exc))
        _log.error("message_rejected", extra={catalogue.ERROR_TYPE: kind})
