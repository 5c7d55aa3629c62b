"""Every record once, whatever the host does to `logging`."""

from __future__ import annotations

import configparser
import io
import logging
import logging.config
from collections.abc import Callable
from typing import Any

import pytest

from etl_telemetry.runtime import log_bridge
from etl_telemetry.runtime.log_bridge import Bridge
from support.bridged import Records


def config(console: io.StringIO, *, propagate: bool) -> dict[str, Any]:
    """Return a project's LOGGING."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(message)s"}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "stream": console, "formatter": "plain"}
        },
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {
            "app": {"handlers": [] if propagate else ["console"], "propagate": propagate},
        },
    }


@pytest.mark.parametrize("propagate", [True, False], ids=["propagating", "not propagating"])
@pytest.mark.parametrize("order", ["before", "after", "both"])
def test_each_record_is_on_the_console_and_at_the_receiver_once(
    seen: Records,
    order: str,
    propagate: bool,  # noqa: FBT001
) -> None:
    """The configuration runs before or after set-up, loggers propagate or not."""
    console, handler = io.StringIO(), Bridge()
    if order != "after":
        logging.config.dictConfig(config(console, propagate=propagate))
    log_bridge.attach(handler)
    if order != "before":
        logging.config.dictConfig(config(console, propagate=propagate))
    logging.getLogger("app.load").info("one")
    logging.getLogger("elsewhere").info("two")
    log_bridge.detach(handler)
    logging.getLogger("app.load").info("three")
    assert console.getvalue().split() == ["one", "two", "three"]
    assert seen.bodies() == ["one", "two"]


def _file_config() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(
        "[loggers]\nkeys=root\n[handlers]\nkeys=console\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=INFO\nhandlers=console\n"
        "[handler_console]\nclass=StreamHandler\nargs=()\n"
    )
    logging.config.fileConfig(parser, disable_existing_loggers=False)


def _hijack() -> None:
    """Do what Celery's worker does by default (worker_hijack_root_logger)."""
    logging.getLogger().handlers = []
    logging.getLogger("app").handlers = []
    logging.basicConfig(level=logging.INFO)
    task = logging.getLogger("app.task")
    task.addHandler(logging.StreamHandler())
    task.propagate = 0  # type: ignore[assignment]


@pytest.mark.parametrize(
    "change",
    [lambda: logging.basicConfig(level=logging.INFO, force=True), _file_config, _hijack],
    ids=["basicConfig", "fileConfig", "hijack"],
)
def test_nothing_that_replaces_handlers_loses_the_bridge(
    seen: Records, bridge: Bridge, capsys: pytest.CaptureFixture[str], change: Callable[[], None]
) -> None:
    """No moment in which it must be attached again: it is in nobody's list of handlers."""
    change()
    for name in ("app", "app.task", "elsewhere"):
        logging.getLogger(name).info("from %s", name)
    assert seen.bodies() == ["from app", "from app.task", "from elsewhere"]
    assert capsys.readouterr().err.count("from ") == 3


def test_our_loggers_outlive_disable_existing_loggers(seen: Records, bridge: Bridge) -> None:
    """That is the default of `dictConfig`; the host's own loggers stay as it wants them."""
    names = ("etl_telemetry", "etl_telemetry.audit", "etl_telemetry_not_ours")
    ours, audit, theirs = (logging.getLogger(name) for name in names)
    ours.setLevel(logging.INFO)
    logging.config.dictConfig({"version": 1})
    try:
        assert (ours.disabled, audit.disabled, theirs.disabled) == (True, True, True)
        log_bridge.reattach()
        assert (ours.disabled, audit.disabled, theirs.disabled) == (False, False, True)
        audit.info("kept")
        assert seen.bodies() == ["kept"]
    finally:
        ours.setLevel(logging.NOTSET)
        for logger in logging.Logger.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False


def test_a_logger_that_stops_propagating_later_is_covered(seen: Records, bridge: Bridge) -> None:
    """Old loggers and new ones, without any hook having run in between."""
    old = logging.getLogger("old")
    for logger in (old, logging.getLogger("new")):
        logger.propagate = False
        logger.warning("from %s", logger.name)
    assert seen.bodies() == ["from old", "from new"]


def test_levels_and_filters_of_the_host_decide(seen: Records, bridge: Bridge) -> None:
    """What the host's loggers drop is dropped; the bridge has a level of its own beside."""
    logger = logging.getLogger("app")
    logger.setLevel(logging.INFO)
    logger.addFilter(lambda record: "secret" not in record.getMessage())
    logger.debug("below the logger's level")
    logger.info("a secret")
    bridge.setLevel(logging.WARNING)
    logger.info("below the bridge's level")
    bridge.addFilter(lambda record: record.getMessage() != "unwanted")
    logger.warning("unwanted")
    logger.warning("wanted")
    logger.disabled = True
    logger.warning("of a disabled logger")
    assert seen.bodies() == ["wanted"]


def test_a_handler_that_hands_a_record_on_does_not_double_it(seen: Records, bridge: Bridge) -> None:
    """Forwarding handlers pass the same record through a second logger."""

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger("collected").handle(record)
            logging.getLogger("collected").warning("about it")

    logging.getLogger("app").addHandler(Forward())
    logging.getLogger("app").warning("one")
    logging.getLogger("app").warning("two")
    assert seen.bodies() == ["about it", "one", "about it", "two"]


def test_what_celery_makes_of_the_console_is_not_a_second_record(
    seen: Records, bridge: Bridge
) -> None:
    """Its worker turns standard error into records, and so what console handlers write."""

    class Console(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger("celery.redirected").warning(record.getMessage())

    logging.getLogger("app").addHandler(Console())
    logging.getLogger("app").warning("once")
    logging.getLogger("celery.redirected").warning("printed")
    assert seen.bodies() == ["once", "printed"]


def test_fields_that_the_hosts_handlers_add_arrive(seen: Records, bridge: Bridge) -> None:
    """Celery's formatter puts the task's name on the record, filters put request ids there."""

    class Adding(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.task_name = "load"

    logging.getLogger("app").addHandler(Adding())
    logging.getLogger("app").warning("x")
    assert seen.attributes() == {"task_name": "load"}


def test_a_handler_of_the_host_that_raises_loses_nothing(seen: Records, bridge: Bridge) -> None:
    """Its error reaches who it would have reached, and the record arrives."""

    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    logging.getLogger("app").addHandler(Failing())
    with pytest.raises(OSError, match="disk full"):
        logging.getLogger("app").warning("x")
    assert seen.bodies() == ["x"]
