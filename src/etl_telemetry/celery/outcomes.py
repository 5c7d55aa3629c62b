"""How one delivery of a task ended, and why, in words that quote no data."""

from __future__ import annotations

from billiard.exceptions import Terminated
from celery import states
from celery.exceptions import Reject, Retry

from etl_telemetry import catalogue, redaction, tracing, values
from etl_telemetry.catalogue import TaskStatus
from etl_telemetry.celery.terminated import was_terminated

_STATUS = {
    states.SUCCESS: TaskStatus.SUCCESS,
    # `Ignore`, and `Task.replace()`: the task did its part and wants no result kept.
    states.IGNORED: TaskStatus.SUCCESS,
    states.RETRY: TaskStatus.RETRIED,
}


def outcome(
    state: str | None, result: object, raised: BaseException | None
) -> tuple[TaskStatus, BaseException | None]:
    """Return the status of a delivery and its error.

    ``raised`` is the exception that is on its way out of Celery's own code: the
    result backend failed after a good body, or the process was told to exit.

    >>> outcome("SUCCESS", 3, None)
    (<TaskStatus.SUCCESS: 'success'>, None)
    """
    if raised is None and state in _STATUS:
        status = _STATUS[state]
        return status, result if isinstance(result, Retry) else None
    error = raised if raised is not None else result
    if isinstance(error, Reject) and getattr(error, "requeue", False):
        return TaskStatus.RETRIED, error  # The broker delivers it again.
    return TaskStatus.FAILED, error if isinstance(error, BaseException) else None


def killed(raised: BaseException | None, task_id: str) -> tuple[TaskStatus, BaseException] | None:
    """Return how a delivery ended whose greenlet was killed; None where it was not.

    Celery ends tasks so under gevent and eventlet: one that is terminated, which it
    tells by `task_revoked` too, and those that run at a cold shutdown. The greenlet
    lives long enough to tell its own end.
    """
    # By its name: greenlet is there only where a pool needs it.
    if type(raised).__name__ != "GreenletExit" or raised is None:
        return None
    if was_terminated(task_id):
        return TaskStatus.REVOKED, Terminated("it was revoked")
    return TaskStatus.LOST, raised


def reason(error: BaseException | None) -> str:
    """Return why a task asked for another delivery, without values of its data."""
    cause = error.exc if isinstance(error, Retry) else error
    if isinstance(cause, BaseException) and not isinstance(cause, Reject):
        return f"{tracing.type_name(type(cause))}: {message(cause)}"
    return message(error) if error is not None else catalogue.UNKNOWN


def message(error: BaseException) -> str:
    """Return the text of an exception, without values of its data."""
    told = getattr(error, "reason" if isinstance(error, Reject) else "message", None)
    return redaction.exception_text(values.text(told if isinstance(told, str) else error))
