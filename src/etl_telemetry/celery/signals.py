"""The life of a worker: where its processes begin, log and end.

| signal                                                | what happens                       |
| ----------------------------------------------------- | ---------------------------------- |
| `worker_init`, `beat_init`, `worker_process_init`,    | the log bridge is attached again:  |
| `after_setup_logger`, `after_setup_task_logger`       | Celery removes root handlers and   |
|                                                       | cuts `celery.task` off (trap 11)   |
| `worker_process_init` (prefork child)                 | clean context; the SDK is rebuilt  |
|                                                       | by the runtime at its first use    |
| `worker_process_shutdown` (prefork child)             | export and end: `atexit` never     |
|                                                       | runs there (trap 8)                |
| `worker_ready`, `worker_shutdown` (main process)      | log events; gauges of what it has  |
|                                                       | in hand; export and end            |
| `task_unknown`, `task_rejected` (main process)        | log events: no delivery came of it |

A `setup_logging` receiver of the host means that `after_setup_logger` never fires,
hence the others. A cold shutdown sends nothing in the main process; there, and in
beat, the exit handler of the life cycle does its work.

Celery's beat and its worker program are imported where they run: a process that publishes does
without.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import signals
from celery.exceptions import SoftTimeLimitExceeded
from opentelemetry import context as context_api
from opentelemetry.context import Context

from etl_telemetry import catalogue, guard
from etl_telemetry.celery import refused, relay
from etl_telemetry.celery.receivers import follow
from etl_telemetry.celery.worker_state import WorkerState
from etl_telemetry.config import Config
from etl_telemetry.instrumentation.table import tell_missing_extra
from etl_telemetry.runtime import log_bridge
from etl_telemetry.runtime.lifecycle import Lifecycle

MAX_DEADLINE = 2.0
"""Seconds that a pool child takes at most: it is killed when its parent is gone."""

_UID = "etl_telemetry"
_log = logging.getLogger("etl_telemetry.celery")


def connect(config: Config, lifecycle: Lifecycle) -> None:
    """Follow the life of this process, if it is a Celery worker or beat; idempotent."""
    guard.let_pass(SoftTimeLimitExceeded)
    relay.connect(config, lifecycle)
    life = _Life(config, lifecycle)
    follow(
        _UID,
        (
            (signals.worker_init, life.worker_begins),
            (signals.beat_init, life.beat_begins),
            (signals.after_setup_logger, life.logging_changed),
            (signals.after_setup_task_logger, life.logging_changed),
            (signals.worker_process_init, life.child_begins),
            (signals.worker_process_shutdown, life.child_ends),
            (signals.worker_ready, life.worker_ready),
            (signals.worker_shutdown, life.worker_ends),
            (signals.task_unknown, refused.unknown),
            (signals.task_rejected, refused.rejected),
        ),
    )


class _Life:
    """Receivers of the signals of one process tree."""

    def __init__(self, config: Config, lifecycle: Lifecycle) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._deadline = min(config.deadline, MAX_DEADLINE)
        self._state = WorkerState()

    def worker_begins(self, **_: object) -> None:
        """Say what is missing, before there are children that would each say it."""
        self.logging_changed()
        with guard.absorb("celery worker begin"):
            tell_missing_extra("celery", self._config)

    def beat_begins(self, *, sender: Any, **_: object) -> None:
        """Observe, where beat is asked to; `sender` is its service."""
        self.logging_changed()
        if self._config.observer_in_beat:
            with guard.absorb("the observer in beat"):
                from etl_telemetry.celery.beat import observe

                observe(sender, self._config)

    def logging_changed(self, **_: object) -> None:
        """Attach the log bridge again."""
        with guard.absorb("celery logging"):
            log_bridge.reattach()

    def child_begins(self, **_: object) -> None:
        """Forget what was current in the parent at the fork."""
        with guard.absorb("celery child begin"):
            context_api.attach(Context())  # Never detached: it is this process' ground.
            log_bridge.reattach()

    def child_ends(self, **_: object) -> None:
        """Export what the child still holds."""
        with guard.absorb("celery child end"):
            self._lifecycle.shutdown(self._deadline)

    def worker_ready(self, *, sender: Any, **_: object) -> None:
        """Log that the worker accepts tasks; `sender` is its consumer."""
        with guard.absorb("celery worker ready"):
            log_bridge.reattach()  # A `setup_logging` receiver came after `worker_init`.
            _log.info("worker_ready", extra=_fields(sender))
        with guard.absorb("celery worker state"):
            self._state.begin(sender)

    def worker_ends(self, *, sender: Any, **_: object) -> None:
        """Log that the worker has ended, and export.

        A worker that was started by the `celery` program ends its process. One that
        an application embeds (`celery.contrib.testing`) does not: it only exports.
        """
        self._state.end()
        with guard.absorb("celery worker end"):
            from celery.apps.worker import Worker

            _log.info("worker_shutdown", extra=_fields(sender))
            if isinstance(sender, Worker):
                self._lifecycle.shutdown(self._deadline)
            else:
                self._lifecycle.force_flush(self._deadline)


def _fields(worker: Any) -> dict[str, object]:
    name = getattr(worker, "hostname", None) or catalogue.UNKNOWN
    return {catalogue.WORKER_NAME: str(name), catalogue.WORKER_PID: os.getpid()}
