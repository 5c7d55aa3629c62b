"""Take trace, baggage and run along to a child process.

A subprocess gets them in its environment, in the variables of OpenTelemetry's specification
(`TRACEPARENT`, `TRACESTATE`, `BAGGAGE`) and one for the run. A child of `multiprocessing`
gets them with its function: a forked one would have the context anyway, a spawned one not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, ParamSpec, TypeVar

from opentelemetry import propagate
from opentelemetry.context import Context

from etl_telemetry import guard
from etl_telemetry.catalogue import RUN_VARIABLE
from etl_telemetry.pipelines.run import Run, RunToken, attach, current_run, detach
from etl_telemetry.tracing.destination import to_named_place
from etl_telemetry.tracing.place import Place

P = ParamSpec("P")
R = TypeVar("R")


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ``environ`` (default: that of this process) with the current trace and run in it.

    For a subprocess, which goes on with `continue_trace()`, or with whatever reads
    `TRACEPARENT`. What an outer process had put there is replaced, or taken out where
    nothing is current.

    >>> import subprocess, sys
    >>> subprocess.run([sys.executable, "-c", ""], env=child_environment(), check=True).returncode
    0
    """
    told = dict(os.environ if environ is None else environ)
    with guard.absorb("telling a child process its trace"):
        for name in _variables():
            told.pop(name, None)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context=to_named_place())
        told.update({name.upper(): value for name, value in carrier.items()})
        run = current_run()
        if run is not None:
            told[RUN_VARIABLE] = run.to_header()
    return told


@contextmanager
def continue_trace(environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """Go on in the block with what `child_environment` wrote; default: this environment.

    Spans in the block are children of the span that started the process, and
    `current_run()` is its run. Without such variables the block is as any other.

    >>> with continue_trace():
    ...     pass
    """
    given = os.environ if environ is None else environ
    with _going_on(given, clean=any(name in given for name in _variables())):
        yield


@contextmanager
def _going_on(given: Mapping[str, str], *, clean: bool) -> Iterator[None]:
    """Make current what ``given`` says; ``clean``: and nothing else."""
    place: Place | None = None
    token: RunToken | None = None
    with guard.absorb("reading the trace of the parent process"):
        if clean:
            carrier = {name: given[name.upper()] for name in _fields() if name.upper() in given}
            place = Place(propagate.extract(carrier, Context()))
            run = Run.from_header(given.get(RUN_VARIABLE))
            token = None if run is None else attach(run)
    try:
        yield
    finally:
        with guard.absorb("leaving the trace of the parent process"):
            if token is not None:
                detach(token)
            if place is not None:
                place.leave()


def in_child(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` such that it goes on with the current trace in another process.

    For `multiprocessing.Process`, `Pool` and `ProcessPoolExecutor`. It can be pickled where
    ``function`` can.

    >>> import multiprocessing
    >>> child = multiprocessing.Process(target=in_child(print), args=("in the same trace",))
    """
    return _InChild(function, child_environment({}))


class _InChild(Generic[P, R]):
    """A function, and the trace that it goes on with."""

    __slots__ = ("_environ", "_function")

    def __init__(self, function: Callable[P, R], environ: dict[str, str]) -> None:
        self._function = function
        self._environ = environ

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        # A pool's process was forked under what was current then.
        with _going_on(self._environ, clean=True):
            return self._function(*args, **kwargs)


def _fields() -> set[str]:
    return propagate.get_global_textmap().fields


def _variables() -> set[str]:
    return {name.upper() for name in _fields()} | {RUN_VARIABLE}
