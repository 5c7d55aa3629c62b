"""A run, and how it is the current one.

A run is its own trace. The ids of the trace and of its root span derive from
the run id, so that every process can name them without being told.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from etl_telemetry import catalogue, metrics, queries
from etl_telemetry.catalogue import RunStatus
from etl_telemetry.logs import log_context
from etl_telemetry.pipelines import header, inputs
from etl_telemetry.tracing.place import Place
from etl_telemetry.values import AttributeValue

_RUN = context_api.create_key("etl_telemetry-run")
_TRACE_STATE = TraceState([catalogue.RUN_TRACE_STATE])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EnteredT = TypeVar("_EnteredT")


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a pipeline, as every process that works on it knows it.

    >>> run = Run(id="42", name="daily", organization="acme", started_ns=0)
    >>> run.trace_id
    '33f05b6e2e520d94db34fccc10008603'
    >>> Run.from_header(run.to_header()) == run
    True
    """

    id: str
    """Id of the run: 1 to 128 characters."""
    name: str
    """Name of the pipeline."""
    organization: str
    """Organization (tenant) that owns the pipeline."""
    started_ns: int
    """True begin, in Unix nanoseconds (whole microseconds, as databases keep them)."""
    trigger: str | None = None
    """What started it: `manual`, `schedule`, `api`... None: not told."""
    triggered_by: str | None = None
    """Who started it: an id, not a name. None: not told."""
    attempt: int | None = None
    """Number of the attempt, as the application counts. None: not told."""
    links: tuple[SpanContext, ...] = field(default=(), repr=False, hash=False)
    """Spans that led to it: the request or the tick that was current at the begin."""

    @property
    def trace_id(self) -> str:
        """Id of its trace: 32 hexadecimal digits, as backends show it."""
        return f"{self.span_context.trace_id:032x}"

    @property
    def span_context(self) -> SpanContext:
        """Context of its root span, always sampled."""
        return root_context(self.id)

    @property
    def started_at(self) -> datetime:
        """True begin, as an aware datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.started_ns // 1_000)

    def log_fields(self) -> dict[str, str]:
        """Return the fields that every log record inside of it carries."""
        return {
            catalogue.PIPELINE_NAME: self.name,
            catalogue.PIPELINE_ORGANIZATION: self.organization,
            catalogue.PIPELINE_RUN_ID: self.id,
        }

    def to_header(self) -> str:
        """Return it as text for a message header (`catalogue.RUN_HEADER`)."""
        fields = {
            "id": self.id,
            "name": self.name,
            "organization": self.organization,
            "started_ns": self.started_ns,
            "trigger": self.trigger,
            "triggered_by": self.triggered_by,
            "attempt": self.attempt,
        }
        return header.dump(fields, self.links)

    @classmethod
    def from_header(cls, text: object) -> Run | None:
        """Return the run that ``to_header`` wrote, or None and count it where it is garbage.

        None is no header, and counts as nothing.
        """
        if text is None:
            return None
        fields: dict[str, Any] | None = header.load(text)
        if fields is None:
            inputs.invalid("a run header could not be read: the task belongs to no run")
            return None
        return Run(**fields)


@dataclass(slots=True)
class Ending:
    """What the application said about the end of a run in this process."""

    status: str | None = None
    """Status that was set, or None."""
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    """Attributes for the run's span."""


@dataclass(frozen=True, slots=True)
class LocalRun(Run):
    """A run that lives in one process: its `with` block begins and ends it."""

    ending: Ending = field(default_factory=Ending, repr=False, compare=False)
    """What was said about its end so far."""

    def set_status(self, status: RunStatus | str) -> None:
        """Say how it ends. An exception still makes a `success` a failure.

        A status that no run can have becomes ``unknown`` and is counted.
        """
        self.ending.status = metrics.status_of(status, RunStatus)

    def cancel(self) -> None:
        """Say that it was cancelled, also if an exception ends it."""
        self.ending.status = RunStatus.CANCELLED.value

    def set_attribute(self, key: str, value: object) -> None:
        """Add an attribute to its span; of one key the last value counts."""
        name = metrics.label(key, attribute="an attribute's name")
        known = self.ending.attributes
        if name in known or len(known) < inputs.MAX_ATTRIBUTES:
            self.ending.attributes.update(inputs.span_attributes({name: value}))
        else:
            inputs.invalid(f"a run has at most {inputs.MAX_ATTRIBUTES} attributes")


@dataclass(frozen=True, slots=True)
class RunToken:
    """What `detach` needs to restore what was current before `attach`."""

    place: Place | None
    """How to leave the OpenTelemetry context; None: nothing was attached."""
    fields: log_context
    """Log fields of the run."""


def current_run() -> Run | None:
    """Return the run that the current code works for, or None.

    >>> current_run() is None
    True
    """
    run = context_api.get_value(_RUN)
    return run if isinstance(run, Run) else None


def attach(run: Run, *, at_root: bool = False) -> RunToken:
    """Make ``run`` the current one, with its log fields, until `detach`.

    The current span stays where it belongs to the run's trace already, as the
    span of a task does; else, or with ``at_root``, it is the run's root span.
    """
    # By `type`: `isinstance` asks the value itself, which may be a lazy object that fails.
    if not issubclass(type(run), Run):
        inputs.invalid("attach needs a Run: nothing was attached")
        return RunToken(None, log_context())
    context = context_api.set_value(_RUN, run)
    here = trace.get_current_span(context).get_span_context()
    if at_root or here.trace_id != run.span_context.trace_id:
        context = trace.set_span_in_context(NonRecordingSpan(run.span_context), context)
    fields = log_context(**run.log_fields())
    fields.__enter__()
    tally = queries.current()
    if tally is not None:
        tally.run_id = run.id
    return RunToken(Place(context), fields)


def detach(token: RunToken) -> None:
    """Restore what was current before the `attach` that returned ``token``."""
    if type(token) is RunToken and token.place is not None:
        token.fields.__exit__(None, None, None)
        token.place.leave()


def take_own(entered: dict[int, _EnteredT]) -> _EnteredT | None:
    """Take out what was entered here, of all that one block's object has under way.

    By `id` of the run. Threads and tasks may share a block's object; each ends the run
    that is current for it. Where none of them is (a generator that is closed elsewhere),
    it is the last one.
    """
    found = entered.pop(id(current_run()), None)
    return entered.popitem()[1] if found is None and entered else found


@lru_cache(maxsize=1_024)
def root_context(run_id: str) -> SpanContext:
    """Return the context of the root span of a run: always the same, always sampled.

    Its trace state, which every span below inherits, marks the trace as a run's: a Collector
    that samples by trace cannot wait for the end of a run, and keeps it for this mark.
    """
    return SpanContext(
        int.from_bytes(_hash("trace", run_id)[:16]),
        int.from_bytes(_hash("span", run_id)[:8]),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=_TRACE_STATE,
    )


def _hash(kind: str, run_id: str) -> bytes:
    return hashlib.sha256(f"etl-telemetry/run/{kind}/{run_id}".encode()).digest()
