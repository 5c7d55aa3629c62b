"""Celery: which part is OpenTelemetry's instrumentor and which is ours, in one place.

| signal                | who                      | why                                          |
| --------------------- | ------------------------ | -------------------------------------------- |
| `before_task_publish` | ours (`publish.py`,      | theirs leaks the span when the broker is     |
| `after_task_publish`  | `outgoing.py`)           | down (trap 3), and knows no runs             |
| `task_prerun`         | ours                     | theirs nests retries ever deeper, and knows  |
|                       | (`delivery_span.py`)     | child or link for all tasks only             |
| `task_postrun`        | ours                     | theirs writes old names, and dictionaries as |
|                       | (`delivery_span.py`)     | text (`celery.delivery_info`)                |
| `task_failure`        | ours                     | theirs records again what a span inside has  |
| `task_retry`          | (`delivery_span.py`)     | recorded                                     |
| `task_received`       | ours (`waits.py`)        | theirs hears of none                         |
| `task_revoked`        | ours (`tasks.py`)        | theirs hears of none                         |
| (`subprocess.Popen`)  | ours (`subprocesses.py`) | OpenTelemetry has none                       |

The instrumentor stays instrumented, with all its receivers unplugged: so it keeps its
seat, and `opentelemetry-instrument` or the application's own `CeleryInstrumentor().instrument()`
do not make every span twice. The names of its spans are kept.

Their one metric, `flower.task.runtime.seconds` (milliseconds buckets for seconds, a
host label), goes to the API's no-op meter provider: no View is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import signals
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider

from etl_telemetry import audit, catalogue, guard, pipelines
from etl_telemetry.celery import (
    actors,
    canvas,
    plumbing,
    publish,
    results,
    runs,
    subprocesses,
    terminated,
    waits,
)
from etl_telemetry.celery.allowed import AllowedArguments
from etl_telemetry.celery.delivery_span import DeliverySpan, context_of, queue_of, wait_of
from etl_telemetry.celery.message import Message
from etl_telemetry.celery.outgoing import Outgoing
from etl_telemetry.celery.tasks import Delivery, Subject, TaskTypes, revoked
from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo
from etl_telemetry.instrumentation.wrapping import all_of
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
    receivers = Receivers(instrumentor, config)
    wraps = (publish.wrap, publish.wrap_retry, canvas.wrap) if instrumentor is not None else ()
    unwraps = [terminated.wrap(), *(wrap() for wrap in wraps)]
    if not config.broker_commands:
        unwraps += [plumbing.wrap(), results.wrap()]
    if config.task_subprocesses:
        unwraps.append(subprocesses.wrap())
    receivers.connect()

    def undo() -> None:
        receivers.disconnect()
        all_of(unwraps)()
        if mine and instrumentor is not None:
            instrumentor.uninstrument()

    return undo


class Receivers:
    """Our receivers of Celery's signals, in place of the instrumentor's."""

    def __init__(self, instrumentor: Instrumentor | None, config: Config) -> None:
        self._types = TaskTypes(config.task_types)
        self._allowed = AllowedArguments(config.task_arguments)
        self._tracer = None if instrumentor is None else trace.get_tracer(catalogue.SCOPE)
        self._theirs = () if instrumentor is None else _theirs(instrumentor)
        self._pairs: tuple[tuple[Any, Callable[..., None]], ...] = (
            (signals.before_task_publish, Outgoing(config).before_publish),
            (signals.task_received, self.received),
            (signals.task_prerun, self.prerun),
            (signals.task_postrun, self.postrun),
            (signals.task_revoked, self.revoked),
        )

    def connect(self) -> None:
        """Plug ours in, and unplug those of the instrumentor."""
        for signal, theirs in self._theirs:
            signal.disconnect(theirs)
        for signal, ours in self._pairs:
            signal.connect(ours, weak=False)

    def disconnect(self) -> None:
        """Undo `connect`."""
        for signal, ours in self._pairs:
            signal.disconnect(ours)
        for signal, theirs in self._theirs:
            signal.connect(theirs, weak=False)

    def received(self, *, sender: Any, request: Any, **_: object) -> None:
        """Remember when the worker received a message; sent in its main process."""
        with guard.absorb("celery task received"):
            waits.mark(request, getattr(sender, "pool", None))

    def prerun(self, *, task: Any, **_: object) -> None:
        """Begin a delivery: clean context, its span, the run, clock and log.

        Every step whatever the others do: a delivery that could not be told its run
        is still counted.
        """
        request = task.request
        opened = _Opened()
        setattr(request, _KEY, opened)
        now = time.time_ns()
        run: Run | None = None
        with guard.absorb("celery task context"):
            # An eager task belongs to whoever runs it, and so does its context.
            if not request.is_eager:
                opened.clean = context_api.attach(Context())
                opened.actor_before = audit.attach(actors.read(request))
                run = runs.read(request)
        subject: Subject | None = None
        with guard.absorb("celery task begin"):
            here = run if run is not None else pipelines.current_run()
            subject = self._subject(task, request, here)
        with guard.absorb("celery task span"):
            if subject is not None:
                self._begin_span(opened, task, subject, run, now)
        with guard.absorb("celery task run"):
            if run is not None:
                opened.run = pipelines.attach(run)
        with guard.absorb("celery task log"):
            if subject is not None:
                opened.delivery = Delivery(subject)
                opened.delivery.begin()

    def postrun(
        self, *, task: Any, state: str | None = None, retval: object = None, **_: object
    ) -> None:
        """End a delivery, in the opposite order; every step whatever the others do."""
        opened = getattr(task.request, _KEY, None)
        if not isinstance(opened, _Opened):
            return  # It began before telemetry was set up.
        ended: tuple[Any, Any] = (None, None)
        with guard.absorb("celery task end"):
            if opened.delivery is not None:
                ended = opened.delivery.outcome(state=state, result=retval)
                opened.delivery.end(*ended, result=retval)
        with guard.absorb("celery task run"):
            if opened.run is not None:
                pipelines.detach(opened.run)
        with guard.absorb("celery task span"):
            if opened.span is not None:
                opened.span.end(*ended)
        with guard.absorb("celery task context"):
            if opened.clean is not None:
                context_api.detach(opened.clean)
                audit.attach(opened.actor_before)

    def revoked(self, *, sender: Any, request: Any, **_: object) -> None:
        """Count a task that never ran, or was stopped; sent in the worker's main process."""
        with guard.absorb("celery task revoked"):
            run = runs.read(request)
            token = context_api.attach(context_of(request))
            in_run = None if run is None else pipelines.attach(run)
            try:
                revoked(self._subject(sender, request, run))
            finally:
                if in_run is not None:
                    pipelines.detach(in_run)
                context_api.detach(token)

    def _subject(self, task: Any, request: Any, run: Run | None) -> Subject:
        allowed = self._allowed.read(task, request)
        return Subject.of(request, name=task.name, types=self._types, run=run, arguments=allowed)

    def _begin_span(
        self, opened: _Opened, task: Any, subject: Subject, run: Run | None, now: int
    ) -> None:
        request = task.request
        message = Message() if request.is_eager else Message.of(request)
        waited = wait_of(task, request, message, now)
        if self._tracer is not None:
            opened.span = DeliverySpan(self._tracer, task)
            opened.span.begin(request, subject, message, waited, run)
        if not request.is_eager:
            waited.record(queue_of(task.app, request.delivery_info))


def _theirs(instrumentor: Any) -> tuple[tuple[Any, Callable[..., None]], ...]:
    """Return the receivers of OpenTelemetry's instrumentor, all of which ours replace.

    Their names are private: `tests/celery/test_instrumentation.py` notices when a
    release of the instrumentor moves them. To be deleted with the traps above.
    """
    return (
        (signals.before_task_publish, instrumentor._trace_before_publish),  # noqa: SLF001
        (signals.after_task_publish, instrumentor._trace_after_publish),  # noqa: SLF001
        (signals.task_prerun, instrumentor._trace_prerun),  # noqa: SLF001
        (signals.task_postrun, instrumentor._trace_postrun),  # noqa: SLF001
        (signals.task_failure, instrumentor._trace_failure),  # noqa: SLF001
        (signals.task_retry, instrumentor._trace_retry),  # noqa: SLF001
    )


class _Opened:
    """What `prerun` opened and `postrun` closes."""

    __slots__ = ("actor_before", "clean", "delivery", "run", "span")

    def __init__(self) -> None:
        self.actor_before: audit.Acting | None = None
        self.clean: Any = None
        self.run: Any = None
        self.span: DeliverySpan | None = None
        self.delivery: Delivery | None = None
