"""One table: name of a library -> how it is instrumented.

Each entry names OpenTelemetry's own instrumentor and an adapter of ours, which
calls it with the fixes that the library needs (`reference/otel-python-traps.md`).
Adapters are named by strings, so that this room imports neither Django nor Celery.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pkgutil import resolve_name

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.errors import MissingExtraError
from etl_telemetry.instrumentation import others
from etl_telemetry.instrumentation.adapter import Adapter, Undo
from etl_telemetry.instrumentation.importing import when_imported
from etl_telemetry.instrumentation.wrapping import all_of


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """How one library is instrumented."""

    name: str
    """Name in `Config.instrumentations`."""
    library: str
    """Module that must be importable."""
    instrumentor: str
    """OpenTelemetry's instrumentor, ``module:Class``."""
    extra: str
    """Extra of this package that brings the library and its instrumentor."""
    adapter: str
    """Our `Adapter`, ``module:function``."""
    more_than_spans: bool = False
    """Whether the adapter has work to do where somebody else already makes the spans."""
    on_import: bool = True
    """Whether its time has come when the library is imported. Django's comes with its settings,
    and other libraries import it where there are none."""

    @property
    def distribution(self) -> str:
        """Name of the instrumentor's package on the index."""
        return self.instrumentor.partition(":")[0].replace(".", "-")

    @property
    def missing(self) -> str | None:
        """Name of the package that is not installed, or None."""
        if not _importable(self.library):
            return self.library
        return None if _importable(self.instrumentor.partition(":")[0]) else self.distribution


def _entry(name: str, cls: str, *, extra: str, adapter: str, **more: bool) -> Instrumentation:
    return Instrumentation(
        name=name,
        library=name,
        instrumentor=f"opentelemetry.instrumentation.{name}:{cls}",
        extra=extra,
        adapter=f"etl_telemetry.{adapter}:instrument",
        **more,
    )


INSTRUMENTATIONS: tuple[Instrumentation, ...] = (
    _entry(
        "django",
        "DjangoInstrumentor",
        extra="django",
        adapter="django.instrumentation",
        more_than_spans=True,
        on_import=False,
    ),
    _entry(
        "celery",
        "CeleryInstrumentor",
        extra="celery",
        adapter="celery.instrumentation",
        more_than_spans=True,
    ),
    _entry(
        "psycopg2", "Psycopg2Instrumentor", extra="postgresql", adapter="instrumentation.psycopg2"
    ),
    _entry("psycopg", "PsycopgInstrumentor", extra="psycopg", adapter="instrumentation.psycopg"),
    _entry("redis", "RedisInstrumentor", extra="redis", adapter="instrumentation.redis"),
    _entry(
        "requests", "RequestsInstrumentor", extra="requests", adapter="instrumentation.requests"
    ),
)
"""Every instrumentation."""

_SEMCONV_VARIABLE = "OTEL_SEMCONV_STABILITY_OPT_IN"
_STABLE_NAMES = "http,database"

_log = logging.getLogger("etl_telemetry")
# What was done to other people's modules is a fact of the process, so it is kept per process.
# Without a lock: its holder would wait for a library's import, and that import for the holder.
_installed: dict[str, Undo] = {}
_awaited: dict[str, Undo] = {}
_claimed: dict[str, object] = {}
_told: set[str] = set()


def instrument(config: Config) -> list[str]:
    """Install the instrumentations that ``config`` asks for; return the names of all in place.

    None in `Config.instrumentations` means every one whose library and
    instrumentor are installed. A library that the process has not imported is
    instrumented when it does: until then it costs nothing. Call it again at any time:
    what is in place stays as it is, what was not possible yet (Django before its
    settings) is tried again.

    Raise `MissingExtraError` where an instrumentation was named and its packages
    are not installed.

    >>> from etl_telemetry.config import resolve
    >>> instrument(resolve({"instrumentations": ()}, {}, None))
    []
    """
    _choose_stable_names()
    taken: dict[str, str] = {}
    for entry in _selected(config):
        if entry.library in sys.modules:
            _install(entry, config, taken)
        elif entry.on_import and entry.name not in _awaited:
            _awaited[entry.name] = _await(entry, config)
    _tell(taken)
    return list(_installed)


def _await(entry: Instrumentation, config: Config) -> Undo:
    act = partial(_imported, entry, config)
    # The application may import the instrumentor first, which has no class yet when the library
    # comes. The application's own call of it then changes nothing any more.
    modules = (entry.library, entry.instrumentor.partition(":")[0])
    return all_of([when_imported(module, act) for module in modules])


def _imported(entry: Instrumentation, config: Config) -> None:
    if entry.library not in sys.modules:
        return  # An instrumentor that does not import it.
    taken: dict[str, str] = {}
    _install(entry, config, taken)
    _tell(taken)


def _tell(taken: dict[str, str]) -> None:
    if not taken.keys() <= _told:
        _told.update(taken)
        _log.info("instrumentation_already_active", extra={"owners": taken})


def uninstrument() -> None:
    """Take all instrumentations away again, last one first, and wait for no import any more."""
    _told.clear()
    while _awaited:
        _awaited.popitem()[1]()
    while _installed:
        name, undo = _installed.popitem()
        with guard.absorb(f"uninstrumenting {name}"):
            undo()


def tell_missing_extra(name: str, config: Config) -> None:
    """Warn once where a framework is in use and its extra is not installed.

    A library that happens to be installed may stay without spans. But a project that has us
    in INSTALLED_APPS, or runs a worker, would look for them in vain.

    >>> tell_missing_extra("django", Config(instrumentations=()))
    """
    (entry,) = (entry for entry in INSTRUMENTATIONS if entry.name == name)
    missing = entry.missing if config.instrumentations is None else None
    if missing is None or name in _told:
        return
    _told.add(name)
    problem = MissingExtraError(
        extra=entry.extra, needed_for=f"instrumenting {name}", missing=missing
    )
    _log.warning("instrumentation_extra_missing: %s", problem, extra={"extra": entry.extra})


def _selected(config: Config) -> Iterator[Instrumentation]:
    named = config.instrumentations
    for entry in INSTRUMENTATIONS:
        if named is None:
            if entry.missing is None:
                yield entry
        elif entry.name in named:
            if entry.missing is not None:
                raise MissingExtraError(
                    extra=entry.extra,
                    needed_for=f"instrumenting {entry.name}",
                    missing=entry.missing,
                )
            yield entry


def _install(entry: Instrumentation, config: Config, taken: dict[str, str]) -> None:
    me = object()
    if _claimed.setdefault(entry.name, me) is not me:
        return  # Another thread is at it: it imports the library, or sets telemetry up.
    try:
        if entry.name not in _installed:
            with guard.absorb(f"instrumenting {entry.name}"):
                _ask(entry, config, taken)
    finally:
        del _claimed[entry.name]


def _ask(entry: Instrumentation, config: Config, taken: dict[str, str]) -> None:
    module, _, name = entry.instrumentor.partition(":")
    theirs = import_module(module)
    if not hasattr(theirs, name) and getattr(theirs.__spec__, "_initializing", False):
        return  # It is what imports the library, and comes back when it is through.
    instrumentor = getattr(theirs, name)()
    owner = others.owner(entry.library, instrumentor)
    if owner is not None:
        taken[entry.name] = owner
        if not entry.more_than_spans:
            return
        if owner != others.OPENTELEMETRY:
            instrumentor = None
    adapter: Adapter = resolve_name(entry.adapter)
    undo = adapter(instrumentor, config)
    if undo is not None:
        _installed[entry.name] = undo


def _choose_stable_names() -> None:
    """Ask for the stable names of the semantic conventions, unless the user chose otherwise.

    The variable is read once per process, by the first instrumentor (trap 17);
    without it there are no database metrics at all.
    """
    os.environ.setdefault(_SEMCONV_VARIABLE, _STABLE_NAMES)
    if others.semconv_read_too_early():
        _log.warning(
            "semantic_conventions_read_too_early",
            extra={"variable": _SEMCONV_VARIABLE, "value": _STABLE_NAMES},
        )


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # A parent package is missing.
