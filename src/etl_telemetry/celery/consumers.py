"""How many workers take from each queue, where the broker does not tell (`queues.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery

from etl_telemetry.catalogue import QUEUE_CONSUMERS, QUEUE_NAME
from etl_telemetry.celery.broker import connected
from etl_telemetry.celery.queues import names
from etl_telemetry.observer import Reading

_ANSWER = 2.0
"""Seconds in which a worker's main process must answer."""


class Consumers:
    """Ask all workers from which queues they take."""

    def __init__(self, app: Celery, extra: Iterable[str] = ()) -> None:
        self._app = app
        self._extra = tuple(extra)

    def read(self) -> list[Reading]:
        """Return for each queue of the app how many workers that answer take from it."""
        with connected(self._app) as connection:
            answers = self._app.control.broadcast(
                "active_queues", reply=True, arguments={}, timeout=_ANSWER, connection=connection
            )
        taken = Counter(name for answer in answers or () for name in _queues(answer))
        known = names(self._app, self._extra)
        return [Reading(QUEUE_CONSUMERS, taken[name], {QUEUE_NAME: name}) for name in known]


def _queues(answer: Mapping[str, Any]) -> list[str]:
    # A worker whose command failed answers {"error": ...} in place of a list.
    lists = [queues for queues in answer.values() if isinstance(queues, list)]
    return [queue["name"] for queues in lists for queue in queues]
