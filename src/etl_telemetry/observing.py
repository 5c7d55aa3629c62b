"""Run the observer in this process: find its sources, hold the lead, export, end in time."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.config.kinds import SECONDS, WrongValue
from etl_telemetry.errors import TelemetryError
from etl_telemetry.observer import FileLead, Lead, Observer, Source
from etl_telemetry.stopping import told_to_stop

_FRAMEWORKS: Mapping[str, str] = MappingProxyType(
    {
        # By name: this room imports neither, and those two never import each other.
        "celery": "etl_telemetry.celery.observed:sources",
        "django": "etl_telemetry.django.observed:sources",
    }
)


class ObserverError(TelemetryError):
    """The observer cannot start; the text says why and what to do."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options that every command of the observer has."""
    add = parser.add_argument
    add("--once", action="store_true", help="read everything once, export it, end")
    add(
        "--interval",
        type=_seconds,
        metavar="SECONDS",
        help="time between two readings (default: the configured one, 15)",
    )
    add(
        "--queues",
        nargs="+",
        default=(),
        metavar="QUEUE",
        help="queues to read besides those that the Celery app knows",
    )
    add("--without", nargs="+", default=(), metavar="SOURCE", help="sources to leave out")
    add("--list", action="store_true", help="print the names of the sources, and end")
    add(
        "--lock",
        type=Path,
        metavar="PATH",
        help="lock this file to be the one observer that reports",
    )


def command(
    options: argparse.Namespace, config: Config, lead: Lead, say: Callable[[str], object]
) -> None:
    """Do what the options of `configure` say. Raises `ObserverError`."""
    config = replace(
        config,
        observer_queues=(*config.observer_queues, *options.queues),
        observer_interval=options.interval or config.observer_interval,
    )
    found = sources(config, without=options.without)
    if options.list:
        for source in found:
            say(source.name)
    elif not run(found, lead, once=options.once):
        say("Nothing was read: another observer reports, or the log says why this one cannot.")


def _seconds(text: str) -> float:
    try:
        seconds: float = SECONDS.parse(text)
    except WrongValue:
        message = f"must be {SECONDS.allowed}, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None
    return seconds


def sources(config: Config, *, without: Collection[str] = ()) -> list[Source]:
    """Return the sources of the installed frameworks and those of the project.

    Each reads every `observer_interval` seconds where it has no interval of its own.

    Raises `ObserverError` where a name in `without` or in `observer_sources` is unknown.
    """
    found = [
        source
        for framework, path in _FRAMEWORKS.items()
        if find_spec(framework) is not None
        for source in _function(path)(config)
    ]
    for path in config.observer_sources:
        found += _function(path)()
    names = [source.name for source in found]
    unknown = sorted(set(without) - set(names))
    if unknown:
        raise ObserverError(
            f"no source is called {', '.join(unknown)}; there are: {', '.join(names) or 'none'}"
        )
    return [
        source
        if source.interval is not None
        else replace(source, interval=config.observer_interval)
        for source in found
        if source.name not in without
    ]


def run(sources: Sequence[Source], lead: Lead, *, once: bool = False) -> bool:
    """Report until SIGTERM or SIGINT; or once: False then where another observer reports.

    What was read last is exported before the lead is given away.

    Raises `ObserverError` in a process that exports nothing.
    """
    telemetry = setup.active()
    if telemetry is None or not telemetry.active:
        raise ObserverError(
            "telemetry is not switched on in this process: call setup_telemetry() where the "
            "application begins, and see that neither ETL_TELEMETRY_ENABLED nor OTEL_SDK_DISABLED "
            "switches it off"
        )
    observer = Observer(sources, lead=lead)
    with told_to_stop() as stop:
        try:
            if once:
                return observer.once()
            observer.run(stop)
        finally:
            telemetry.force_flush()
            observer.release()
    return True


def lead(config: Config) -> Lead:
    """Return the lock that fits: in the project's database where there is one, else of this host.

    For a process that cannot be asked, such as beat.
    """
    of_project = None
    if find_spec("django") is not None:
        of_project = import_module("etl_telemetry.django.lead").of_project(config)
    return of_project or file_lead(config)


def file_lead(config: Config, path: Path | None = None) -> FileLead:
    """Return the lock of this host: a file, by default one for service and instance id."""
    name = "".join(
        letter if letter.isalnum() else "-"
        for letter in f"{config.service_name}-{config.observer_instance_id}"
    )
    return FileLead(path or Path(tempfile.gettempdir()) / f"etl-telemetry-{name}.lock")


def _function(path: str) -> Callable[..., Iterable[Source]]:
    module, _, name = path.partition(":")
    try:
        function: Callable[..., Iterable[Source]] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ObserverError(f"the source {path} cannot be imported: {error}") from error
    return function
