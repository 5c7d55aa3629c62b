"""Which workers answer."""

from __future__ import annotations

import time

from celery import Celery

from etl_telemetry.catalogue import WORKER_NAME, WORKER_UP
from etl_telemetry.celery.broker import connected
from etl_telemetry.observer import Reading

_ANSWER = 2.0
"""Seconds in which a worker's main process must answer."""
REMEMBERED = 900.0
"""Seconds for which a worker that does not answer any more is told as 0; then its series ends."""


class Liveness:
    """Ask all workers to answer, and remember those that did: silence alone names nobody."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._seen: dict[str, float] = {}

    def read(self) -> list[Reading]:
        """Return 1 for each worker that answers, 0 for each one that did a while ago."""
        with connected(self._app) as connection:
            answers = self._app.control.ping(timeout=_ANSWER, connection=connection)
        now = time.monotonic()
        here = {name for answer in answers or () for name in answer}
        self._seen |= dict.fromkeys(here, now)
        self._seen = {name: at for name, at in self._seen.items() if now - at < REMEMBERED}
        return [Reading(WORKER_UP, int(name in here), {WORKER_NAME: name}) for name in self._seen]
