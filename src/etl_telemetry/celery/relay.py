"""The relay of a prefork worker: its main process exports for its children.

| signal                       | process | what happens                                          |
| ---------------------------- | ------- | ----------------------------------------------------- |
| `celeryd_after_setup`        | main    | the relay begins, before the first child is forked    |
| `worker_ready`               | main    | exit codes of children are read along                 |
| `task_received`              | main    | a redelivery is told the delivery before              |
| `task_failure`               | main    | a hard time limit is noted                            |
| `task_revoked`               | main    | a termination is noted                                |
| `worker_process_init`        | child   | the receivers below are connected, after all others   |
| `task_prerun`, first         | child   | what follows is held ...                              |
| `task_prerun`, last          | child   | ... and handed over, with the mark "begun"            |
| `task_postrun`, first        | child   | what follows is held ...                              |
| `task_postrun`, last         | child   | ... and handed over with the metrics and mark "ended" |

First and last: Celery calls receivers in the order in which they were connected.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import NoneType
from typing import Any

from celery import signals

from etl_telemetry import guard
from etl_telemetry.celery import marks, redelivery
from etl_telemetry.celery.blackbox import BlackBox
from etl_telemetry.celery.receivers import follow
from etl_telemetry.celery.tasks import TaskTypes
from etl_telemetry.config import Config
from etl_telemetry.runtime.lifecycle import Lifecycle
from etl_telemetry.runtime.relay.relay import Relay

_UID = "etl_telemetry.relay"
_VARIABLE = "ETL_TELEMETRY_RELAY_SOCKET"
_KEY = "_etl_telemetry_delivery"
"""Attribute of Celery's request object that names the delivery."""


def connect(config: Config, lifecycle: Lifecycle) -> None:
    """Follow the workers of this process tree; before any other receiver of ours."""
    if not config.relay:
        return
    wiring = _Wiring(config, lifecycle)
    follow(
        _UID,
        (
            (signals.celeryd_after_setup, wiring.worker_set_up),
            (signals.worker_ready, wiring.worker_ready),
            (signals.task_received, wiring.received),
            (signals.task_failure, wiring.failed),
            (signals.task_revoked, wiring.revoked),
            (signals.worker_process_init, wiring.child_begins),
            (signals.task_prerun, wiring.hold),
            (signals.task_postrun, wiring.hold),
        ),
    )


class _Wiring:
    """Receivers of the signals of one process tree."""

    def __init__(self, config: Config, lifecycle: Lifecycle) -> None:
        self._types = TaskTypes(config.task_types)
        self._socket, self._service = config.relay_socket, config.service_name
        self._lifecycle = lifecycle
        self._blackbox: BlackBox | None = None
        self._pool_child: int | None = None

    # --- In the main process ---

    def worker_set_up(self, *, instance: Any, **_: object) -> None:
        """Begin the relay, if this worker forks children."""
        with guard.absorb("celery relay begin"):
            from celery.concurrency.prefork import TaskPool

            kind = instance.pool_cls
            if not isinstance(kind, type) or not issubclass(kind, TaskPool):
                return
            relay = self._lifecycle.begin_relay()
            if relay is None or self._blackbox is not None:
                return
            self._blackbox = BlackBox(relay.export)
            with guard.absorb("celery relay socket"):
                self._listen(relay, spawns=getattr(instance, "pool_start_method", "") == "spawn")
            relay.begin(self._blackbox)

    def _listen(self, relay: Relay, *, spawns: bool) -> None:
        """Let those join that are not forked: a new interpreter inherits no socket."""
        path = None if self._socket is None else Path(self._socket)
        if path is None and spawns:
            path = Path(tempfile.mkdtemp(prefix="etl-telemetry-")) / "relay"
        if path is not None and relay.listen(path, self._service) and spawns:
            os.environ[_VARIABLE] = str(path)

    def worker_ready(self, *, sender: Any, **_: object) -> None:
        """Learn the exit codes of children that Celery reaps before the relay has seen them end.

        There is no signal for it: billiard's pool calls `on_process_down`, as Celery's own does.
        """
        pool: Any = getattr(getattr(sender, "pool", None), "_pool", None)
        theirs = getattr(pool, "on_process_down", None)
        box = self._blackbox
        if box is None or theirs is None:
            return

        def on_process_down(process: Any) -> None:
            with guard.absorb("celery child exit"):
                box.exited(process.pid, process.exitcode)
            theirs(process)

        pool.on_process_down = on_process_down

    def received(self, *, request: Any, **_: object) -> None:
        """Tell a redelivery which delivery was before, if it was here."""
        with guard.absorb("celery redelivery"):
            info = request.delivery_info or {}
            box = self._here() if info.get("redelivered") else None
            retries = request.request_dict.get("retries") or 0
            before = None if box is None else box.before(str(request.id), retries)
            if before is not None:
                redelivery.mark(request, before)

    def failed(self, *, task_id: str, exception: BaseException | None = None, **_: object) -> None:
        """Learn of a hard time limit."""
        box = self._here()
        if box is not None:
            box.failed(task_id, exception)

    def revoked(self, *, request: Any, terminated: bool = False, **_: object) -> None:
        """Learn of a task that is terminated."""
        box = self._here()
        if box is not None and terminated:
            box.revoked(str(request.id))

    # --- In a child ---

    def child_begins(self, **_: object) -> None:
        """Be the last to hear of the begin and the end of a delivery."""
        with guard.absorb("celery relay child"):
            relay = self._lifecycle.relay
            if relay is not None and relay.is_child:
                self._lifecycle.prepare()
                follow(
                    f"{_UID}.last",
                    ((signals.task_prerun, self.begun), (signals.task_postrun, self.ended)),
                )
                self._pool_child = os.getpid()

    def hold(self, **_: object) -> None:
        """Keep what the other receivers say, in a process that has a last one."""
        relay = self._lifecycle.relay
        if relay is not None and self._pool_child == os.getpid():
            relay.hold()

    def begun(self, *, task: Any, **_: object) -> None:
        """Hand over that a delivery has begun."""
        relay = self._lifecycle.relay
        if relay is None:
            return
        mark = None
        with guard.absorb("celery relay begun"):
            if not task.request.is_eager:  # That one is a part of whatever runs it.
                begun = marks.Begun.of(task, types=self._types, relay=relay)
                setattr(task.request, _KEY, begun.delivery)
                mark = begun.to_mark()
        with guard.absorb("celery relay hand-over"):
            relay.release(mark)

    def ended(self, *, task: Any, **_: object) -> None:
        """Hand over how a delivery has ended, and what it measured."""
        relay = self._lifecycle.relay
        if relay is None:
            return
        delivery = getattr(task.request, _KEY, None)
        # An exit is the parent's to report: it sees every kind of end.
        exits = not isinstance(sys.exception(), (Exception, NoneType))
        mark = None if exits or not isinstance(delivery, str) else marks.ended(delivery)
        with guard.absorb("celery relay hand-over"):
            relay.release(mark, measure=not task.request.is_eager)

    def _here(self) -> BlackBox | None:
        """Return the black box, in the process whose box it is."""
        relay = self._lifecycle.relay
        return None if relay is None or relay.is_child else self._blackbox
