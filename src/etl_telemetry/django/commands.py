"""Which management commands export nothing, and never fail because of telemetry."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

BUILT_IN = frozenset(
    {
        # django.core
        "check", "compilemessages", "createcachetable", "dbshell", "diffsettings", "dumpdata",
        "flush", "inspectdb", "loaddata", "makemessages", "makemigrations", "migrate",
        "optimizemigration", "sendtestemail", "shell", "showmigrations", "sqlflush",
        "sqlmigrate", "sqlsequencereset", "squashmigrations", "startapp", "startproject",
        "test", "testserver",
        # django.contrib
        "changepassword", "clearsessions", "collectstatic", "createsuperuser", "findstatic",
        "ogrinspect", "remove_stale_contenttypes",
        # What ManagementUtility answers itself.
        "help", "version", "--help", "-h", "--version",
    }
)  # fmt: skip
"""Commands of Django, without `runserver`. By name, so that one that a project replaces
(`migrate` of django-tenants, `test` of its own) stays silent too."""

_RESTARTED = "RUN_MAIN"  # django.utils.autoreload.DJANGO_AUTORELOAD_ENV, which is slow to import.
_PROGRAMS = frozenset({"manage", "django-admin"})


def is_silent(argv: Sequence[str], environ: Mapping[str, str], extra: Collection[str] = ()) -> bool:
    """Tell whether this process is a management command that must export nothing.

    Those are Django's own commands and the `extra` ones of the project. `runserver`
    exports, but not in the process that only watches the files and restarts it.
    All other commands do the application's work, and export.

    Args:
        argv: `sys.argv`, program name included.
        environ: The environment.
        extra: `Config.silent_commands`.

    >>> is_silent(["manage.py", "migrate"], {}), is_silent(["manage.py", "load_flights"], {})
    (True, False)
    >>> is_silent(["manage.py", "runserver"], {})
    True
    >>> is_silent(["manage.py", "runserver"], {"RUN_MAIN": "true"})
    False
    """
    command = _command(argv)
    if command is None:
        return False
    if command == "runserver":
        return "--noreload" not in argv and environ.get(_RESTARTED) != "true"
    return command in BUILT_IN or command in extra


def _command(argv: Sequence[str]) -> str | None:
    """Return the name of the management command; None where the process is none."""
    running = _running()
    if running is None and (not argv or not _is_management(argv[0])):
        return None
    words = argv if running is None else running
    return words[1] if len(words) > 1 else "help"


def _is_management(program: str) -> bool:
    path = PurePath(program)
    by_module = path.name == "__main__.py" and path.parent.name == "django"
    return by_module or path.stem in _PROGRAMS


def _running() -> Sequence[str] | None:
    """Return the words of the command line that Django is executing around this call.

    A project may give `manage.py` any name (an entry point `shop-admin`), so the
    program's name alone does not tell.
    """
    management = sys.modules.get("django.core.management")
    if management is None:  # Nobody runs a command: no reason to import it.
        return None
    execute = management.ManagementUtility.execute.__code__
    frame = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads every source file
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is execute:
            words: Sequence[str] = frame.f_locals["self"].argv
            return words
    return None
