"""Django's settings are read where they exist, and never brought into being."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

READ = """
import os, sys
from pathlib import Path
from django.conf import settings
from etl_telemetry import guard
from etl_telemetry.django.settings import directories, read
"""


def run(script: str, folder: Path, **variables: str) -> list[str]:
    """Run a script in a process of its own; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ + script],
        env={**os.environ, "PYTHONPATH": str(folder), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_settings_there_is_nothing_and_nothing_is_configured(tmp_path: Path) -> None:
    """A script that happens to have Django installed stays as it is."""
    script = "print(read(), directories(), settings.configured)"
    assert run(script, tmp_path) == ["None () False"]


def test_settings_are_read_without_configuring_django(tmp_path: Path) -> None:
    """Django loads them itself, at its own time; what it has loaded is read from there."""
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\nBASE_DIR = Path('/srv')\nETL_TELEMETRY = {'DEADLINE': 1}\n"
        "SECRET_KEY = 'x'\n"
    )
    script = """
print(read(), [str(d) for d in directories()], settings.configured)
settings.DEBUG
settings.ETL_TELEMETRY = {"DEADLINE": 2}
print(read(), settings.configured)
"""
    assert run(script, tmp_path, DJANGO_SETTINGS_MODULE="mine") == [
        "{'DEADLINE': 1} ['/srv'] False",
        "{'DEADLINE': 2} True",
    ]


def test_settings_made_in_code_are_read(tmp_path: Path) -> None:
    """`settings.configure(...)`, and a `BASE_DIR` that is text."""
    script = """
settings.configure(ETL_TELEMETRY={"DEADLINE": 3}, BASE_DIR="/srv")
print(read(), directories() == (Path("/srv"),))
"""
    assert run(script, tmp_path) == ["{'DEADLINE': 3} True"]


def test_settings_that_are_being_imported_show_what_stands_above_the_call(tmp_path: Path) -> None:
    """`setup_telemetry()` inside of `settings.py`."""
    (tmp_path / "mine.py").write_text(
        "from etl_telemetry.django.settings import read\n"
        "first = read()\nETL_TELEMETRY = {'DEADLINE': 4}\nsecond = read()\nSECRET_KEY = 'x'\n"
    )
    script = "settings.DEBUG; import mine; print(mine.first, mine.second)"
    assert run(script, tmp_path, DJANGO_SETTINGS_MODULE="mine") == ["None {'DEADLINE': 4}"]


def test_settings_are_read_while_their_package_is_imported(tmp_path: Path) -> None:
    """`shop/__init__.py` imports the `celery.py` that sets telemetry up; Django goes on after."""
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("from shop import celery\n")
    (shop / "celery.py").write_text(
        "from django.conf import settings\nfrom etl_telemetry.django.settings import read\n"
        "seen = read(), settings.configured\n"
    )
    (shop / "settings.py").write_text("ETL_TELEMETRY = {'DEADLINE': 5}\nSECRET_KEY = 'x'\n")
    script = """
print(settings.SECRET_KEY, settings.configured)
import shop
print(*shop.celery.seen)
"""
    assert run(script, tmp_path, DJANGO_SETTINGS_MODULE="shop.settings") == [
        "x True",
        "{'DEADLINE': 5} False",
    ]


@pytest.mark.parametrize(
    ("source", "error", "counted"),
    [
        ("import nothing_like_it", "ModuleNotFoundError", {}),
        ("import os; os.environ['NO_SUCH_KEY']", "KeyError", {"internal_error": 1}),
    ],
)
def test_settings_that_do_not_load_are_the_hosts_own_error(
    tmp_path: Path, source: str, error: str, counted: dict[str, int]
) -> None:
    """We read nothing, and Django tells what is wrong in its own words."""
    (tmp_path / "mine.py").write_text(source)
    script = """
print(read(), directories(), settings.configured)
try:
    settings.DEBUG
except Exception as error:
    print(type(error).__name__)
guard.drops() and print(sorted(guard.drops()))
"""
    printed = run(script, tmp_path, DJANGO_SETTINGS_MODULE="mine")
    assert printed[:2] == ["None () False", error]
    assert printed[2:] == ([str(sorted(counted))] if counted else [])
