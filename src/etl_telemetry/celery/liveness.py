"""Which workers answer, and from which queues they take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery
from kombu.transport import virtual

from etl_telemetry.catalogue import QUEUE_CONSUMERS, QUEUE_NAME, WORKER_NAME, WORKER_UP
from etl_telemetry.celery.broker import connected
from etl_telemetry.celery.queues import names
from etl_telemetry.observer import Reading

_ANSWER = 2.0
"""Seconds in which a worker's main process must answer."""
REMEMBERED = 900.0
"""Seconds for which a worker that does not answer any more is told as 0; then its series ends."""


class Liveness:
    """Ask all workers to answer, and remember those that did: silence alone names nobody."""

    def __init__(self, app: Celery, extra: Iterable[str] = ()) -> None:
        self._app = app
        self._extra = tuple(extra)
        self._seen: dict[str, float] = {}

    def read(self) -> list[Reading]:
        """Return 1 for each worker that answers, 0 for each one that did a while ago.

        And how many of them take from each queue, unless the broker itself tells (`queues.py`).
        """
        with connected(self._app) as connection:
            answers = self._app.control.broadcast(
                "active_queues", reply=True, arguments={}, timeout=_ANSWER, connection=connection
            )
            is_told = not isinstance(connection.default_channel, virtual.Channel)
        here = {name: queues for answer in answers or () for name, queues in answer.items()}
        now = time.monotonic()
        self._seen |= dict.fromkeys(here, now)
        self._seen = {name: at for name, at in self._seen.items() if now - at < REMEMBERED}
        up = [Reading(WORKER_UP, int(name in here), {WORKER_NAME: name}) for name in self._seen]
        return up if is_told else [*up, *self._consumers(here.values())]

    def _consumers(self, answers: Iterable[Any]) -> list[Reading]:
        # A worker that cannot say answers {"error": ...}.
        lists = [queues for queues in answers if isinstance(queues, list)]
        queues = [queue for queues in lists for queue in queues if isinstance(queue, Mapping)]
        taken = Counter(queue.get("name") for queue in queues)
        known = names(self._app, self._extra)
        return [Reading(QUEUE_CONSUMERS, taken[name], {QUEUE_NAME: name}) for name in known]
