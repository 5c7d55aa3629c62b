"""Which management commands export nothing."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

import django
import pytest
from django.core.management import ManagementUtility, find_commands
from django.utils import autoreload

from etl_telemetry.django import commands
from etl_telemetry.django.commands import BUILT_IN, is_silent

CHILD = {"RUN_MAIN": "true"}


def shipped() -> set[str]:
    """Return the names of all commands that Django ships."""
    home = Path(django.__file__).parent
    contrib = [
        home / "contrib" / found.name for found in pkgutil.iter_modules([str(home / "contrib")])
    ]
    folders = [home / "core", *contrib]
    return {name for folder in folders for name in find_commands(str(folder / "management"))}


def test_every_command_of_django_but_runserver_is_silent() -> None:
    """A new version of Django with a new command turns this red."""
    assert shipped() - {"runserver"} == {name for name in BUILT_IN if not name.startswith("-")} - {
        "help", "version",
    }  # fmt: skip


@pytest.mark.parametrize(
    "argv",
    [
        ["manage.py", "migrate", "--noinput"],
        ["./manage.py", "check", "--deploy"],
        ["/venv/bin/django-admin", "shell"],
        ["/venv/bin/django-admin.exe", "test"],
        ["/venv/lib/django/__main__.py", "collectstatic"],
        ["manage.py"],
        ["manage.py", "--help"],
        ["manage.py", "help", "load"],
        ["manage.py", "cleanup"],
        ["manage.py", "runserver"],
        ["manage.py", "runserver", "0.0.0.0:8000"],
    ],
)
def test_silent(argv: list[str]) -> None:
    """They look, prepare or repair, or only watch files; `extra` names the project's own."""
    assert is_silent(argv, {}, ("cleanup",))


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        (["manage.py", "runserver"], CHILD),
        (["manage.py", "runserver", "--noreload"], {}),
        (["manage.py", "load_flights"], {}),
        (["manage.py", "load_flights", "migrate"], {}),
        (["gunicorn", "shop.wsgi", "check"], {}),
        (["celery", "-A", "shop", "worker"], {}),
        (["load.py", "migrate"], {}),
        (["-c"], {}),
        ([""], {}),
        ([], {}),
    ],
)
def test_not_silent(argv: list[str], environ: dict[str, str]) -> None:
    """They serve, or do the application's work; other programs are none of our business."""
    assert not is_silent(argv, environ, ("cleanup",))


def test_the_reloader_tells_its_child_as_we_believe() -> None:
    """The name is written down, since the module that has it is slow to import."""
    assert autoreload.DJANGO_AUTORELOAD_ENV == commands._RESTARTED


@pytest.mark.parametrize(("command", "silent"), [("migrate", True), ("load_flights", False)])
def test_program_of_any_name_that_executes_a_command(
    command: str,
    silent: bool,  # noqa: FBT001 - a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A project may call its `manage.py` what it likes."""
    told: list[bool] = []

    def fetch_command(*_: object) -> None:
        told.append(is_silent(sys.argv, {}))
        sys.exit(3)

    monkeypatch.setattr(ManagementUtility, "fetch_command", fetch_command)
    monkeypatch.setattr(sys, "argv", ["/venv/bin/shop-admin", "nothing"])
    with pytest.raises(SystemExit):
        ManagementUtility(["shop-admin", command]).execute()
    assert told == [silent]
