"""Capture in memory what this process would have exported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry import trace

from etl_telemetry import audit
from etl_telemetry.catalogue import AUDIT_SCOPE
from etl_telemetry.errors import TelemetryError
from etl_telemetry.pipelines.finish import forget_finished
from etl_telemetry.runtime import exporters
from etl_telemetry.runtime.lifecycle import Lifecycle
from etl_telemetry.runtime.traces import DelegatingTracerProvider
from etl_telemetry.setup import lifecycle, setup_telemetry
from etl_telemetry.testing import metrics, records
from etl_telemetry.testing.memory import Memory
from etl_telemetry.testing.sequences import AuditEvents, Logs, Spans, listing

_FLUSH = 30.0
"""Seconds for a flush into memory: a guard against hangs."""
_PAUSE = 0.02
T = TypeVar("T")


class CaptureError(TelemetryError):
    """Telemetry cannot be captured here; the text says why and what to do."""


class Captured:
    """What was exported since the capture began. Each look flushes first.

    Redacted, bounded and sampled as in production: only the exporters are replaced.
    """

    def __init__(self, memory: Memory, life: Lifecycle) -> None:
        self._memory = memory
        self._life: Lifecycle | None = life

    @property
    def spans(self) -> Spans:
        """Finished spans, in the order in which they ended."""
        self._flush()
        return Spans(map(records.span, tuple(self._memory.spans)))

    @property
    def metrics(self) -> metrics.Metrics:
        """Metrics by name, each with its values by labels."""
        self._flush()
        return metrics.read(self._memory.metrics)

    @property
    def logs(self) -> Logs:
        """Log records without audit events."""
        return Logs(record for record in self._records() if record.logger != AUDIT_SCOPE)

    @property
    def audit(self) -> AuditEvents:
        """Audit events."""
        found = (record for record in self._records() if record.logger == AUDIT_SCOPE)
        return AuditEvents(map(records.audit_event, found))

    def wait_for(self, found: Callable[[], T], *, deadline: float = 30.0) -> T:
        """Return what `found()` returns, as soon as that is true.

        For work in other threads: a worker ends the span of a task after it has stored the
        result. Raises `AssertionError`, telling what there is, after `deadline` seconds.
        """
        __tracebackhide__ = True
        end = time.monotonic() + deadline
        while not (answer := found()):
            if time.monotonic() > end:
                spans, logs = self.spans, self.logs
                raise AssertionError(
                    f"still {answer!r} after {deadline:g} s; "
                    f"spans: {listing(s.name for s in spans) or 'none'}; "
                    f"log records: {listing(str(r.body) for r in logs) or 'none'}; "
                    f"metrics: {listing(self.metrics) or 'none'}"
                )
            time.sleep(_PAUSE)
        return answer

    def close(self) -> None:
        """Take no more; what there is can still be read."""
        self._flush()
        self._life = None

    def _flush(self) -> None:
        life = self._life
        if life is None or life.has_ended:  # What came before is here; after it nothing comes.
            return
        if not life.force_flush(_FLUSH):
            raise CaptureError(f"telemetry could not be flushed into memory within {_FLUSH:g} s")

    def _records(self) -> list[records.LogRecord]:
        self._flush()
        return [records.log_record(made) for made in tuple(self._memory.logs)]


def keep_inside() -> None:
    """From now on nothing leaves this process, whatever is configured."""
    _replace(_nowhere)


@contextmanager
def capture() -> Iterator[Captured]:
    """Give the telemetry of the block; it begins empty, and with sums at zero.

    The application's own `setup_telemetry()` counts, with all its options. Where there was none
    by now, it is called without. Afterwards nothing leaves this process: it is a test.

    Raises `CaptureError` where telemetry is switched off, and within another capture.

    >>> from etl_telemetry import span
    >>> with capture() as telemetry:
    ...     with span("load orders"):
    ...         pass
    >>> telemetry.spans.named("load orders").status
    'unset'
    """
    if isinstance(getattr(exporters.replacement(), "__self__", None), Memory):
        raise CaptureError("telemetry is captured already: end that capture first")
    memory = Memory()
    life = _life()
    _replace(memory.exporter)
    captured = Captured(memory, life)
    audit.set_showing(True)  # Events that wait in a table would be exported by another process.
    try:
        yield captured
    finally:
        audit.set_showing(False)
        captured.close()
        keep_inside()


def _life() -> Lifecycle:
    telemetry = setup_telemetry()
    life = lifecycle()
    if life is None:
        raise CaptureError(
            "telemetry is switched off in this process, so there is nothing to capture: "
            f"enabled is {telemetry.config.enabled}, and Django's own commands (`manage.py test`) "
            "export nothing. Remove enabled=False or OTEL_SDK_DISABLED from the settings of the "
            "tests (nothing leaves the process anyway), and run them with pytest"
        )
    if not isinstance(trace.get_tracer_provider(), DelegatingTracerProvider):
        raise CaptureError(
            "another distribution set OpenTelemetry's tracer provider first, so its spans do not "
            "pass here: run the tests without it (opentelemetry-instrument, a provider in conftest)"
        )
    return life


def _replace(by: exporters.Replacement) -> None:
    exporters.replace(by)
    forget_finished()  # The database of the next test gives its runs the same ids again.
    life = lifecycle()
    if life is not None:
        life.restart()


def _nowhere(_: str) -> None:
    """Make no exporter: the signal is switched off."""
