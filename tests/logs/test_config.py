"""`logging_config()`: defaults, options, environment, and every wrong option at once."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_telemetry.errors import ConfigurationError, MissingExtraError
from etl_telemetry.logs import logging_config


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let no configuration, and no environment, pass from test to test."""
    monkeypatch.chdir(tmp_path)
    for name in ("ENVIRONMENT", "OTEL_SERVICE_NAME", "DJANGO_LOG_LEVEL", "DEBUG_CONNECTORS"):
        monkeypatch.delenv(name, raising=False)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    names = logging_config()["loggers"]
    yield
    for logger in [root, *map(logging.getLogger, names)]:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            if handler not in handlers:
                handler.close()
        logger.propagate, logger.disabled = True, False
        logger.setLevel(logging.NOTSET)
    root.setLevel(level)
    root.handlers[:] = handlers


def configure(**options: Any) -> io.StringIO:
    """Apply the configuration as Django does, with the console in memory."""
    console = io.StringIO()
    handlers = {"console": {"stream": console}, **options.pop("handlers", {})}
    logging.config.dictConfig(logging_config(handlers=handlers, **options))
    return console


def test_the_default_is_the_former_stacks_without_files() -> None:
    """Handlers, loggers, levels and propagation as the users know them, on the console."""
    console = ["console"]
    assert logging_config() == {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": "etl_telemetry.logs.TextFormatter"},
            "json": {
                "()": "etl_telemetry.logs.JsonFormatter",
                "environment": "development",
                "service": "unknown",
                "version": "unknown",
                "allow": (),
            },
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "text"}},
        "root": {"level": "WARNING", "handlers": console},
        "loggers": {
            "django": {"level": "INFO", "handlers": [], "propagate": True},
            "apps": {"level": "INFO", "handlers": console, "propagate": False},
            "apps.connectors": {"level": "INFO", "handlers": console, "propagate": False},
            "apps.pipelines": {"level": "INFO", "handlers": console, "propagate": False},
            "celery": {"level": "INFO", "handlers": [], "propagate": True},
            "celery.task": {"level": "INFO", "handlers": console, "propagate": False},
            "audit": {"level": "INFO", "handlers": console, "propagate": False},
            "security": {"level": "WARNING", "handlers": console, "propagate": False},
            "etl_telemetry": {"level": "INFO", "handlers": [], "propagate": True},
            "etl_telemetry.audit": {"level": "INFO", "handlers": console, "propagate": False},
        },
    }


def test_a_directory_adds_the_three_files(tmp_path: Path) -> None:
    """50 MB each, 10, 10 and 20 backups, errors from ERROR up; nothing is opened yet."""
    folder = tmp_path / "logs"
    config = logging_config(directory=folder)
    common = {
        "()": "etl_telemetry.logs.files.RotatingFile",
        "max_bytes": 52_428_800,
        "formatter": "json",
    }
    assert {name: config["handlers"][name] for name in ("application", "errors", "audit")} == {
        "application": {
            **common, "filename": str(folder / "application.log"), "backups": 10, "level": "NOTSET",
        },
        "errors": {
            **common, "filename": str(folder / "errors.log"), "backups": 10, "level": "ERROR",
        },
        "audit": {
            **common, "filename": str(folder / "audit.log"), "backups": 20, "level": "NOTSET",
        },
    }  # fmt: skip
    everywhere = ["console", "application", "errors"]
    assert {name: entry["handlers"] for name, entry in config["loggers"].items()} == {
        "django": ["application", "errors"],
        "apps": everywhere,
        "apps.connectors": everywhere,
        "apps.pipelines": everywhere,
        "celery": ["application", "errors"],
        "celery.task": everywhere,
        "audit": ["audit"],
        "security": ["console", "errors"],
        "etl_telemetry": ["application", "errors"],
        "etl_telemetry.audit": ["audit"],
    }
    logging.config.dictConfig(config)
    assert not folder.exists()


def test_files_can_be_switched_off(tmp_path: Path) -> None:
    """One settings file serves a container, where only the console is read, and a host."""
    assert logging_config(directory=tmp_path, files=False) == logging_config()


def test_each_record_is_on_the_console_once_and_in_its_files(tmp_path: Path) -> None:
    """Over propagating and other loggers: no record twice, none lost, errors in both files."""
    console = configure(environment="production", directory=tmp_path, levels={"root": "INFO"})
    names = ["django.request", "apps.x", "apps.connectors.sql", "celery.app", "celery.task",
             "security", "etl_telemetry", "audit", "etl_telemetry.audit", "elsewhere"]  # fmt: skip
    for name in names:
        logging.getLogger(name).error("event", extra={"of": name})
    logging.getLogger("apps").info("event", extra={"of": "apps info"})
    logging.getLogger("apps").debug("below the level")

    def seen(text: str) -> list[str]:
        return sorted(json.loads(line)["of"] for line in text.splitlines())

    audit = ["audit", "etl_telemetry.audit"]
    assert seen(console.getvalue()) == sorted({*names, "apps info"} - set(audit))
    assert seen((tmp_path / "application.log").read_text()) == sorted(
        {*names, "apps info"} - {*audit, "security", "elsewhere"}
    )
    assert seen((tmp_path / "errors.log").read_text()) == sorted({*names} - {*audit, "elsewhere"})
    assert seen((tmp_path / "audit.log").read_text()) == audit


def test_a_logger_without_a_file_falls_back_to_the_console() -> None:
    """Without files, audit events are not lost in silence."""
    console = configure()
    logging.getLogger("audit").info("user_login")
    assert "user_login" in console.getvalue()


@pytest.mark.parametrize(
    ("environment", "formatter"),
    [("development", "text"), ("Test", "text"), ("production", "json"), ("staging", "json")],
)
def test_the_console_shows_text_in_development_only(environment: str, formatter: str) -> None:
    """People read the former, machines all others; the option decides otherwise."""
    assert logging_config(environment=environment)["handlers"]["console"]["formatter"] == formatter
    other = logging_config(environment=environment, console="json")
    assert other["handlers"]["console"]["formatter"] == "json"


def test_the_environment_is_read_at_the_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ENVIRONMENT, the service's name, the former variables and the VERSION file."""
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "etl")
    monkeypatch.setenv("DJANGO_LOG_LEVEL", "debug")
    monkeypatch.setenv("DEBUG_CONNECTORS", "0")  # Set to anything.
    (tmp_path / "VERSION").write_text("1.4\n")
    config = logging_config()
    assert config["formatters"]["json"] == {
        "()": "etl_telemetry.logs.JsonFormatter",
        "environment": "production",
        "service": "etl",
        "version": "1.4",
        "allow": (),
    }
    assert config["loggers"]["django"]["level"] == "DEBUG"
    assert config["loggers"]["apps.connectors"]["level"] == "DEBUG"
    explicit = logging_config(environment="dev", service="s", version="v")["formatters"]["json"]
    assert (explicit["environment"], explicit["service"], explicit["version"]) == ("dev", "s", "v")


def test_a_wrong_level_in_the_environment_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are read by every command, which must not fail because of telemetry."""
    monkeypatch.setenv("DJANGO_LOG_LEVEL", "LOUD")
    with pytest.warns(RuntimeWarning) as caught:
        config = logging_config()
    assert config["loggers"]["django"]["level"] == "INFO"
    (message,) = [str(warning.message) for warning in caught]
    assert message == (
        "DJANGO_LOG_LEVEL must be one of CRITICAL, FATAL, ERROR, WARN, WARNING, INFO, DEBUG, "
        "NOTSET, got 'LOUD' (from the environment); INFO is used"
    )
    assert caught[0].filename == __file__


def test_everything_can_be_overridden(tmp_path: Path) -> None:
    """Levels, loggers, handlers, sizes; an entry changes what is there, it does not replace it."""
    config = logging_config(
        directory=tmp_path,
        levels={"root": "error", "sqlalchemy": 30},
        loggers={"shop": "debug", "apps": {"propagate": True}, "mine": {"handlers": ["mail"]}},
        handlers={"mail": {"class": "logging.NullHandler"}, "console": {"level": "WARNING"}},
        max_bytes=1,
        backups={"audit": 0},
    )
    everywhere = ["console", "application", "errors"]
    assert config["root"] == {"level": "ERROR", "handlers": ["console"]}
    loggers = config["loggers"]
    assert loggers["sqlalchemy"] == {"level": 30}
    assert loggers["shop"] == {"level": "DEBUG", "handlers": everywhere, "propagate": False}
    assert loggers["apps"] == {"level": "INFO", "handlers": everywhere, "propagate": True}
    assert loggers["mine"] == {"level": "INFO", "handlers": ["mail"], "propagate": False}
    handlers = config["handlers"]
    assert handlers["mail"] == {"class": "logging.NullHandler"}
    assert handlers["console"] == {
        "class": "logging.StreamHandler", "formatter": "text", "level": "WARNING",
    }  # fmt: skip
    assert (handlers["audit"]["backups"], handlers["errors"]["backups"]) == (0, 10)
    assert handlers["application"]["max_bytes"] == 1


def test_calls_do_not_share_state() -> None:
    """The result is the caller's to change."""
    first = logging_config()
    first["loggers"]["apps"]["handlers"].append("x")
    first["root"]["level"] = "DEBUG"
    assert logging_config()["loggers"]["apps"]["handlers"] == ["console"]
    assert logging_config()["root"]["level"] == "WARNING"


def test_a_directory_without_the_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lines: what needs what, and how to install it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert logging_config()  # Not needed without files.
    with pytest.raises(MissingExtraError) as caught:
        logging_config(directory="logs")
    assert str(caught.value) == (
        "etl-telemetry: logging_config(directory=...) needs the package "
        "'concurrent-log-handler', which is not installed.\n"
        "Install it with:\n"
        "    pip install 'etl-telemetry[files]'"
    )


LEVELS = "one of CRITICAL, FATAL, ERROR, WARN, WARNING, INFO, DEBUG, NOTSET"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"environment": 1}, "environment must be text, got 1"),
        ({"console": "xml"}, 'console must be "text" or "json", got \'xml\''),
        ({"directory": 1}, "directory must be a path, got 1"),
        ({"directory": ""}, "directory must be a path, got ''"),
        ({"files": "no"}, "files must be True, False or None, got 'no'"),
        ({"max_bytes": 0}, "max_bytes must be a number of bytes > 0, got 0"),
        ({"backups": {"audit": -1}}, "backups['audit'] must be a whole number >= 0, got -1"),
        ({"levels": "DEBUG"}, "levels must be a mapping, got 'DEBUG'"),
        ({"levels": {"a": "LOUD"}}, f"levels['a'] must be {LEVELS}, got 'LOUD'"),
        ({"loggers": {"a": None}}, f"loggers['a'] must be {LEVELS}, got None"),
        ({"loggers": {"a": {"level": 1.5}}}, f"loggers['a']['level'] must be {LEVELS}, got 1.5"),
        ({"handlers": {"a": 1}}, "handlers['a'] must be a handler of dictConfig's schema, got 1"),
        ({"allow": "x"}, "allow must be a tuple of names, got 'x'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(
    options: dict[str, Any], problem: str
) -> None:
    """Option, what is allowed, what was given, and where it came from."""
    with pytest.raises(ConfigurationError) as caught:
        logging_config(**options)
    assert caught.value.problems == (f"{problem} (from logging_config)",)


def test_an_unknown_handler_is_answered_with_the_nearest() -> None:
    """The names of the files are known also while files are off."""
    logging_config(loggers={"a": {"handlers": ["audit"]}})
    with pytest.raises(ConfigurationError) as caught:
        logging_config(loggers={"a": {"handlers": ["aplication"]}})
    (problem,) = caught.value.problems
    assert problem == (
        "loggers['a']['handlers'] must be one of application, audit, console, errors, "
        "got 'aplication' (from logging_config); did you mean 'application'?"
    )


def test_all_problems_come_at_once() -> None:
    """One start is enough to see them all."""
    with pytest.raises(ConfigurationError) as caught:
        logging_config(console="xml", files=True, backups={"sql": 1})  # type: ignore[arg-type]
    assert str(caught.value) == (
        "etl-telemetry: 3 wrong values:\n"
        '  - console must be "text" or "json", got \'xml\' (from logging_config)\n'
        "  - files=True needs a directory: logging_config(directory=BASE_DIR / 'logs')\n"
        "  - backups names 'sql'; the files are application, errors, audit (from logging_config)"
    )
