"""One run inside of one process: a `with` block, or each call of a function."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from opentelemetry.trace import Link, SpanContext

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason, RunStatus
from etl_telemetry.pipelines import inputs, report
from etl_telemetry.pipelines.facts import Facts, Moment
from etl_telemetry.pipelines.finish import Claim, conclude
from etl_telemetry.pipelines.run import LocalRun, RunToken, attach, detach, take_own

P = ParamSpec("P")
R = TypeVar("R")


def pipeline_run(
    name: str,
    *,
    organization: str,
    run_id: str | UUID | int | None = None,
    trigger: str | None = None,
    triggered_by: str | None = None,
    attempt: int | None = None,
    started_at: Moment | None = None,
    attributes: Mapping[str, object] | None = None,
    claim: Claim | None = None,
    links: Sequence[SpanContext | Link] = (),
) -> RunBlock:
    """Make a block, or each call of a function, one run: span, count, duration, logs, audit.

    It ends as `success`; as `failed` where an exception leaves it, or `sys.exit`
    with an error; as `cancelled` where it is stopped from outside (Ctrl-C,
    cancellation of an asyncio task, `GeneratorExit`). `run.cancel()` and
    `run.set_status(...)` say otherwise; an exception still makes a `success` a
    failure. Exceptions pass unchanged.

    `claim(run_id)` decides whether this run is counted, as in `finish_run`. What
    it raises reaches the application, but never hides an exception of the block.
    Wrong arguments never raise. As a decorator give no `run_id`: each call is a
    run of its own. Generator functions are not wrapped: use a block inside.

    >>> with pipeline_run("daily", organization="acme", trigger="manual") as run:
    ...     run.set_attribute("source.files", 3)
    >>> @pipeline_run("daily", organization="acme")
    ... def load() -> int:
    ...     return 3
    >>> load()
    3
    """
    facts = Facts(name, organization, run_id, trigger, triggered_by, attempt, started_at, links)
    return RunBlock(facts, attributes=attributes, claim=claim)


@dataclass(frozen=True, slots=True)
class _Entered:
    """A run that is under way."""

    run: LocalRun
    """The run."""
    token: RunToken
    """How to restore what was current before."""
    since_ns: int
    """Reading of the monotonic clock that belongs to the begin of the run."""


class RunBlock:
    """What `pipeline_run` returns: a context manager and a decorator."""

    __slots__ = ("_attributes", "_claim", "_entered", "_facts")

    def __init__(
        self, facts: Facts, *, attributes: Mapping[str, object] | None, claim: Claim | None
    ) -> None:
        self._facts = facts
        self._attributes = attributes
        self._claim = claim
        self._entered: dict[int, _Entered] = {}

    def __enter__(self) -> LocalRun:
        run = self._facts.begin(LocalRun)
        run.ending.attributes.update(inputs.span_attributes(self._attributes))
        # The monotonic clock measures; the wall clock only says when it began, and
        # may be set meanwhile.
        since_ns = time.perf_counter_ns() - (time.time_ns() - run.started_ns)
        self._entered[id(run)] = _Entered(run, attach(run), since_ns)
        report.started(run)
        report.audit_started(run)
        return run

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered = take_own(self._entered)
        if entered is None:
            return  # It was never entered.
        try:
            if error is None:
                conclude(_finish(entered, None), claim=self._claim)
            else:
                # What the claim raises must not hide the exception of the block.
                with guard.absorb("finishing a run that was left by an exception"):
                    conclude(_finish(entered, error), claim=self._claim)
        finally:
            detach(entered.token)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` such that each call of it is a run."""
        wrapped: Callable[P, R] = function
        with guard.absorb("decorating with pipeline_run", reason=DropReason.INVALID_VALUE):
            wrapped = self._wrapped(function)
        return wrapped  # noqa: RET504 - the guard may skip the assignment

    def again(self) -> RunBlock:
        """Return a block for another run of the same kind."""
        return RunBlock(self._facts, attributes=self._attributes, claim=self._claim)

    def _wrapped(self, function: Any) -> Any:
        if isinstance(function, (classmethod, staticmethod)):
            return type(function)(self(function.__func__))
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            inputs.invalid("pipeline_run cannot decorate a generator function: use it as a block")
            return function
        if isinstance(function, type) or not callable(function):
            inputs.invalid("pipeline_run decorates functions: the object was left as it is")
            return function
        wrap = _coroutine if inspect.iscoroutinefunction(function) else _plain
        return wrap(self, function)


def _plain(block: RunBlock, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with block.again():
            return function(*args, **kwargs)

    return wrapper


def _coroutine(block: RunBlock, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with block.again():
            return await function(*args, **kwargs)

    return wrapper


def _finish(entered: _Entered, error: BaseException | None) -> report.Finish:
    run = entered.run
    elapsed_ns = time.perf_counter_ns() - entered.since_ns
    if elapsed_ns < 0:
        inputs.invalid("a run began in the future: its duration was left out")
    return report.Finish(
        run=run,
        status=_status(run.ending.status, error),
        ended_ns=run.started_ns + max(elapsed_ns, 0),
        duration=elapsed_ns / 1e9 if elapsed_ns >= 0 else None,
        error=None if _is_clean_exit(error) else error,
        attributes=run.ending.attributes,
    )


def _status(said: str | None, error: BaseException | None) -> str:
    """Return the status: what was said, unless an exception proves it wrong."""
    if said is not None and (error is None or said != RunStatus.SUCCESS):
        return said
    if error is None or _is_clean_exit(error):
        return RunStatus.SUCCESS.value
    if isinstance(error, (Exception, SystemExit)):
        return RunStatus.FAILED.value
    return RunStatus.CANCELLED.value  # Ctrl-C, asyncio and trio cancellation, GreenletExit...


def _is_clean_exit(error: BaseException | None) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)
