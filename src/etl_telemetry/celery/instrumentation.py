"""Celery: which part is OpenTelemetry's instrumentor and which is ours, in one place.

| signal                | who                    | why                                          |
| --------------------- | ---------------------- | -------------------------------------------- |
| `before_task_publish` | ours (`publish.py`)    | theirs leaks the span when the broker is     |
| `after_task_publish`  | ours (`publish.py`)    | down (trap 3), and knows no runs             |
| `task_prerun`         | theirs, inside of ours | clean context before, the run after          |
| `task_postrun`        | theirs, inside of ours | count and log before, clean up after         |
| `task_failure`        | theirs                 | status and exception of the task's span      |
| `task_retry`          | theirs                 | retry reason on the task's span              |
| `task_revoked`        | ours (`tasks.py`)      | theirs hears of none                         |

Their one metric, `flower.task.runtime.seconds` (milliseconds buckets for seconds, a
host label), goes to the API's no-op meter provider: no View is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import signals
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider

from etl_telemetry import audit, guard, pipelines
from etl_telemetry.celery import actors, publish, runs
from etl_telemetry.celery.tasks import Delivery, Subject, TaskTypes, revoked
from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo
from etl_telemetry.pipelines import Run

_KEY = "_etl_telemetry"
"""Attribute of Celery's request object that holds what we opened for this delivery."""


def instrument(instrumentor: Instrumentor | None, config: Config) -> Undo | None:
    """Instrument Celery (`table.Adapter`).

    Without an instrumentor (ddtrace makes the task spans) runs still travel, and
    tasks are still logged and counted.
    """
    mine = instrumentor is not None and not instrumentor.is_instrumented_by_opentelemetry
    if mine and instrumentor is not None:
        instrumentor.instrument(meter_provider=NoOpMeterProvider())
    receivers = Receivers(instrumentor, TaskTypes(config.task_types))
    unwrap = publish.wrap() if instrumentor is not None else _nothing
    receivers.connect()

    def undo() -> None:
        receivers.disconnect()
        unwrap()
        if mine and instrumentor is not None:
            instrumentor.uninstrument()

    return undo


class Receivers:
    """Our receivers of Celery's signals, with the instrumentor's own ones inside."""

    def __init__(self, instrumentor: Instrumentor | None, types: TaskTypes) -> None:
        self._types = types
        self._theirs = None if instrumentor is None else _Theirs(instrumentor)
        self._pairs: tuple[tuple[Any, Callable[..., None]], ...] = (
            (signals.before_task_publish, publish.before_publish),
            (signals.task_prerun, self.prerun),
            (signals.task_postrun, self.postrun),
            (signals.task_revoked, self.revoked),
        )

    def connect(self) -> None:
        """Plug ours in, and unplug those of the instrumentor that ours call or replace."""
        for signal, theirs in self._theirs.pairs if self._theirs else ():
            signal.disconnect(theirs)
        for signal, ours in self._pairs:
            signal.connect(ours, weak=False)

    def disconnect(self) -> None:
        """Undo `connect`."""
        for signal, ours in self._pairs:
            signal.disconnect(ours)
        for signal, theirs in self._theirs.pairs if self._theirs else ():
            signal.connect(theirs, weak=False)

    def prerun(self, *, task: Any, **kwargs: Any) -> None:
        """Begin a delivery: clean context, their span, the run, clock and log.

        Every step whatever the others do: a delivery that could not be told its run
        is still counted.
        """
        request = task.request
        opened = _Opened()
        setattr(request, _KEY, opened)
        run: Run | None = None
        with guard.absorb("celery task context"):
            # An eager task belongs to whoever runs it, and so does its context.
            if not request.is_eager:
                opened.clean = context_api.attach(Context())
                opened.actor_before = audit.attach(actors.read(request))
                run = runs.read(request)
                if run is not None:
                    runs.keep_in_trace(request, run)
        with guard.absorb("celery task span"):
            if self._theirs is not None:
                self._theirs.prerun(task=task, **kwargs)
        with guard.absorb("celery task run"):
            if run is not None:
                opened.run = pipelines.attach(run)
        with guard.absorb("celery task begin"):
            here = run if run is not None else pipelines.current_run()
            subject = Subject.of(request, name=task.name, types=self._types, run=here)
            opened.delivery = Delivery(subject)
        with guard.absorb("celery task log"):
            if opened.delivery is not None:
                opened.delivery.begin()

    def postrun(
        self, *, task: Any, state: str | None = None, retval: object = None, **kwargs: Any
    ) -> None:
        """End a delivery, in the opposite order; every step whatever the others do."""
        opened = getattr(task.request, _KEY, None)
        if not isinstance(opened, _Opened):
            return  # It began before telemetry was set up.
        with guard.absorb("celery task end"):
            if opened.delivery is not None:
                opened.delivery.end(state=state, result=retval)
        with guard.absorb("celery task run"):
            if opened.run is not None:
                pipelines.detach(opened.run)
        with guard.absorb("celery task span"):
            if self._theirs is not None:
                self._theirs.postrun(task=task, state=state, retval=retval, **kwargs)
        with guard.absorb("celery task context"):
            if opened.clean is not None:
                context_api.detach(opened.clean)
                audit.attach(opened.actor_before)

    def revoked(self, *, sender: Any, request: Any, **_: object) -> None:
        """Count a task that never ran, or was stopped; sent in the worker's main process."""
        with guard.absorb("celery task revoked"):
            run = runs.read(request)
            revoked(Subject.of(request, name=sender.name, types=self._types, run=run))


class _Theirs:
    """The receivers of OpenTelemetry's instrumentor that ours call or replace.

    Their names are private: `tests/celery/test_instrumentation.py` notices when a
    release of the instrumentor moves them. To be deleted with the traps above.
    """

    def __init__(self, instrumentor: Any) -> None:
        self.prerun: Callable[..., None] = instrumentor._trace_prerun  # noqa: SLF001 - see above
        self.postrun: Callable[..., None] = instrumentor._trace_postrun  # noqa: SLF001 - see above
        self.pairs: tuple[tuple[Any, Callable[..., None]], ...] = (
            (signals.before_task_publish, instrumentor._trace_before_publish),  # noqa: SLF001
            (signals.after_task_publish, instrumentor._trace_after_publish),  # noqa: SLF001
            (signals.task_prerun, self.prerun),
            (signals.task_postrun, self.postrun),
        )


class _Opened:
    """What `prerun` opened and `postrun` closes."""

    __slots__ = ("actor_before", "clean", "delivery", "run")

    def __init__(self) -> None:
        self.actor_before: audit.Acting | None = None
        self.clean: Any = None
        self.run: Any = None
        self.delivery: Delivery | None = None


def _nothing() -> None:
    """Undo nothing."""
