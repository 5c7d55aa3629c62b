"""Which Celery commands export nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

_SILENT = frozenset(
    {
        "amqp", "control", "events", "graph", "inspect", "list", "logtool", "migrate", "multi",
        "purge", "report", "result", "shell", "status", "upgrade",
    }
)  # fmt: skip
"""They look, ask or repair; `worker`, `beat` and `call` do the application's work."""
_WITH_VALUE = frozenset(
    {"-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"}
)
"""Global options that take the next word as their value."""


def is_silent(
    argv: Sequence[str], environ: Mapping[str, str] | None = None, extra: Collection[str] = ()
) -> bool:
    """Return whether ``argv`` is a Celery command that must export nothing.

    ``argv`` is `sys.argv` of the process, program name included; ``extra`` are more
    commands (`Config.silent_commands`). The environment has no say here: it is
    there for the same shape as `etl_telemetry.django.commands.is_silent`.

    >>> is_silent(["/venv/bin/celery", "-A", "shop", "inspect", "active"])
    True
    >>> is_silent(["/venv/bin/celery", "-A", "shop", "worker", "-l", "INFO"])
    False
    >>> is_silent(["gunicorn", "inspect"])
    False
    """
    if not argv or not _is_celery(argv[0]):
        return False
    command = _command(argv[1:])
    return command is None or command in _SILENT or command in extra


def _is_celery(program: str) -> bool:
    path = PurePath(program)
    by_module = path.name == "__main__.py" and path.parent.name == "celery"
    return by_module or path.stem == "celery"


def _command(words: Sequence[str]) -> str | None:
    """Return the first word that is neither an option nor an option's value."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in _WITH_VALUE
        else:
            return word
    return None  # `celery`, `celery --help`, `celery --version`
