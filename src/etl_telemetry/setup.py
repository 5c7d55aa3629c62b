"""`setup_telemetry()`: the one call that switches everything on."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Collection, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from etl_telemetry.catalogue import AUDIT_SCOPE, SCOPE
from etl_telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    from etl_telemetry.config import Config
    from etl_telemetry.runtime.lifecycle import Lifecycle

_log = logging.getLogger(SCOPE)


class Telemetry:
    """The handle of a process' telemetry, as `setup_telemetry()` returns it."""

    __slots__ = ("_lifecycle", "config", "problems")

    def __init__(
        self, config: Config, lifecycle: Lifecycle | None, *, problems: tuple[str, ...] = ()
    ) -> None:
        self.config = config
        """The configuration in force."""
        self.problems = problems
        """Wrong values, in a command that goes on in spite of them."""
        self._lifecycle = lifecycle

    @property
    def active(self) -> bool:
        """Whether this process exports: False in silent commands and where disabled."""
        return self._lifecycle is not None

    def force_flush(self, deadline: float | None = None) -> bool:
        """Export what waits, within `deadline` seconds (default: the configured one).

        Returns whether everything that waited was delivered: never after `shutdown()`, where
        what came since then went nowhere.
        """
        return True if self._lifecycle is None else self._lifecycle.force_flush(deadline)

    def shutdown(self, deadline: float | None = None) -> bool:
        """Export what waits and end the telemetry of this process, within `deadline` seconds.

        Runs by itself when the process ends in the ordinary way. Returns whether
        everything was delivered; afterwards every call is a cheap no-op.
        """
        return True if self._lifecycle is None else self._lifecycle.shutdown(deadline)


class _Process:
    """What was set up in this process tree."""

    def __init__(self) -> None:
        self.telemetry: Telemetry | None = None
        self._lock = threading.RLock()
        self._pid = os.getpid()

    @property
    def lock(self) -> threading.RLock:
        """The lock of this process: a thread of the parent may have held the parent's."""
        # No at-fork hook: until the set-up is through, there is none.
        if self._pid != os.getpid():
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock


_process = _Process()


def setup_telemetry(*, service_name: str | None = None, **options: Any) -> Telemetry:
    """Switch telemetry on for this process and all that it forks; return its handle.

    Call it at Django's and Celery's start-up, in any order and as often as you
    like: the first call counts, later ones only instrument what was not possible
    yet. `etl_telemetry.django` in INSTALLED_APPS calls it too.

    Options are the fields of `Config` and win over the environment (`OTEL_*`,
    then `ETL_TELEMETRY_*`), the Django setting `ETL_TELEMETRY` and the defaults.

    Raises `ConfigurationError`, listing every wrong value, and `MissingExtraError`
    where an instrumentation is named whose package is not installed.

    >>> telemetry = setup_telemetry(service_name="docs", enabled=False)
    >>> telemetry.force_flush(deadline=1.0)
    True
    """
    if service_name is not None:
        options["service_name"] = service_name
    with _process.lock:
        if _process.telemetry is None:
            _process.telemetry = _first(options)
        elif options:
            _log.debug("telemetry_already_set_up", extra={"ignored": sorted(options)})
        telemetry = _process.telemetry
        if telemetry.active:
            _instrument(telemetry.config)
        return telemetry


def active() -> Telemetry | None:
    """Return the handle of this process, or None before `setup_telemetry()`."""
    return _process.telemetry


def lifecycle() -> Lifecycle | None:
    """Return the life cycle of this process, or None where it exports nothing."""
    return None if _process.telemetry is None else _process.telemetry._lifecycle  # noqa: SLF001


def _first(options: Mapping[str, object]) -> Telemetry:
    from etl_telemetry.config import Config, resolve

    try:
        config = resolve(options, os.environ, _django_settings(), directories=_directories())
    except ConfigurationError as error:
        if _is_silent():
            return Telemetry(Config(enabled=False), None, problems=error.problems)
        raise
    if not config.enabled or _is_silent(config.silent_commands):
        return Telemetry(config, None)
    for warning in config.warnings:
        # In the arguments too: a console whose formatter is not ours shows no extra.
        _log.warning("configuration_warning: %s", warning, extra={"detail": warning})
    return Telemetry(config, _install(config))


def _install(config: Config) -> Lifecycle:
    # The SDK is loaded here, and nowhere before.
    from etl_telemetry import audit, metrics, tracing
    from etl_telemetry.instrumentation.importing import when_imported
    from etl_telemetry.redaction import Policy
    from etl_telemetry.runtime import log_bridge, propagation
    from etl_telemetry.runtime.lifecycle import Lifecycle

    for name in config.ignored_variables:  # The SDK reads these itself, and would raise.
        os.environ.pop(name, None)
    lifecycle = Lifecycle(config)
    foreign = lifecycle.install()
    if foreign:
        _log.warning("telemetry_set_up_elsewhere", extra={"signals": ", ".join(foreign)})
    propagation.install(config.propagators)
    metrics.configure(
        max_pipelines=config.max_pipelines, max_organizations=config.max_organizations
    )
    # The root's default level, WARNING, would hide our events and refuse audit's.
    unset = [log for log in map(logging.getLogger, (SCOPE, AUDIT_SCOPE)) if not log.level]
    for logger in unset:
        logger.setLevel(logging.INFO)
    policy = Policy(allow=config.allow)
    tracing.configure(policy=policy)
    if config.log_bridge:
        log_bridge.attach(
            log_bridge.Bridge(level=config.log_level, policy=policy), level_is_ours=_log in unset
        )
        audit.set_exporting(log_bridge.takes_info)
    when_imported("celery", partial(_follow_workers, config, lifecycle))
    return lifecycle


def _follow_workers(config: Config, lifecycle: Lifecycle) -> None:
    resolve_name("etl_telemetry.celery.signals:connect")(config, lifecycle)


def _instrument(config: Config) -> None:
    from etl_telemetry.instrumentation.table import instrument

    instrument(config)


# Functions that need a framework are named by strings: this room imports neither Django nor Celery.
def _django_settings() -> Mapping[str, object] | None:
    if not _has_django_settings():
        return None
    settings: Mapping[str, object] | None = resolve_name("etl_telemetry.django.settings:read")()
    return settings


def _directories() -> tuple[Path, ...]:
    """Return where a file `VERSION` may be."""
    if not _has_django_settings():
        return (Path(),)
    return (Path(), *resolve_name("etl_telemetry.django.settings:directories")())


def _has_django_settings() -> bool:
    """Return whether there may be Django settings: if not, Django is not imported to look."""
    named = "django" in sys.modules or "DJANGO_SETTINGS_MODULE" in os.environ
    return named and find_spec("django") is not None


def _is_silent(extra: Collection[str] = ()) -> bool:
    """Tell whether this process is a command that must export nothing."""
    if find_spec("django") is not None:
        is_command = resolve_name("etl_telemetry.django.commands:is_silent")
        if is_command(sys.argv, os.environ, extra):
            return True
    return find_spec("celery") is not None and bool(
        resolve_name("etl_telemetry.celery.cli:is_silent")(sys.argv)
    )
