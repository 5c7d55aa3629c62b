"""Which Celery commands export nothing."""

from __future__ import annotations

import pytest

from etl_telemetry.celery.cli import is_silent

CELERY = "/srv/.venv/bin/celery"


@pytest.mark.parametrize(
    "argv",
    [
        [CELERY],
        [CELERY, "--version"],
        [CELERY, "--help"],
        [CELERY, "status"],
        [CELERY, "-A", "shop", "inspect", "active"],
        [CELERY, "--app=shop", "-b", "redis://broker", "control", "shutdown"],
        [CELERY, "-Ashop", "--workdir", "/srv", "-q", "purge", "-f"],
        [CELERY, "-A", "worker", "report"],
        ["/lib/python3.11/site-packages/celery/__main__.py", "-A", "shop", "result", "id"],
    ],
)
def test_commands_that_look_ask_or_repair_are_silent(argv: list[str]) -> None:
    """Nothing is exported by commands that do no work of the application."""
    assert is_silent(argv)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [CELERY, "-A", "shop", "worker", "-l", "INFO"],
        [CELERY, "-A", "inspect", "worker"],
        [CELERY, "-A", "shop", "beat"],
        [CELERY, "-A", "shop", "call", "shop.tasks.load"],
        ["/lib/python3.11/site-packages/celery/__main__.py", "-A", "shop", "worker"],
        ["gunicorn", "inspect"],
        ["manage.py", "status"],
        ["celery_report.py"],
    ],
)
def test_commands_that_do_the_applications_work_export(argv: list[str]) -> None:
    """Workers, beat, publishing by hand and everything that is not Celery export."""
    assert not is_silent(argv)


def test_a_project_can_name_more_commands() -> None:
    """`Config.silent_commands` holds for commands of Celery as for those of Django."""
    assert is_silent([CELERY, "-A", "shop", "flower"], {}, ["flower"])
    assert not is_silent([CELERY, "-A", "shop", "flower"], {}, [])
