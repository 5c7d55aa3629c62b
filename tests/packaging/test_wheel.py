"""What a user gets: the files of the wheel, its metadata, and where the tested package is from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import etl_telemetry
from support.pages import REPOSITORY

SOURCE = REPOSITORY / "src"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel with the backend itself, which needs no network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every source file is in the wheel; no test, example or cache is."""
    files = {path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file()}
    expected = {
        path.as_posix()
        for path in files
        if not any(part.startswith((".", "__pycache__")) for part in path.parts)
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_wheel_is_typed_and_licensed(wheel: zipfile.ZipFile) -> None:
    """The marker for type checkers and the licence are in the wheel."""
    info = f"etl_telemetry-{PROJECT['version']}.dist-info"
    wanted = {"etl_telemetry/py.typed", f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"}
    assert wanted - set(wheel.namelist()) == set()


def test_metadata_names_python_and_extras(wheel: zipfile.ZipFile) -> None:
    """The metadata has the range of Pythons, the licence and every extra."""
    info = f"etl_telemetry-{PROJECT['version']}.dist-info"
    metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
    found = (metadata["Requires-Python"], metadata["License-Expression"])
    assert found == (">=3.11", "Apache-2.0")
    assert sorted(metadata.get_all("Provides-Extra") or []) == sorted(EXTRAS)


def test_extra_all_is_the_sum_of_the_others() -> None:
    """`all` is spelled out for the sake of pip 23.2 and must not fall behind."""
    left_out = ("all", "psycopg")  # Django would take that driver instead of psycopg2.
    others = {line for name, lines in EXTRAS.items() if name not in left_out for line in lines}
    assert set(EXTRAS["all"]) == others
    assert not any("etl-telemetry" in line for line in EXTRAS["all"])


def test_ranges_are_never_one_beta() -> None:
    """Contrib packages pin one another with ==, so that our own == could not be resolved."""
    lines = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    pinned = [
        line for line in lines for spec in Requirement(line).specifier if spec.operator == "=="
    ]
    assert pinned == []


def test_dependencies_page_tells_the_same_ranges() -> None:
    """docs/explanation/dependencies.md repeats what pyproject.toml declares, to the letter."""
    page = (REPOSITORY / "docs" / "explanation" / "dependencies.md").read_text()
    whole = re.findall(r"`([a-z][a-z0-9-]+[<>]=?[^`]+)`", page)
    told = {str(Requirement(found)) for found in whole}
    names = re.findall(r"^\| `([a-z0-9-]+)` \| `([^`]+)` \|", page, re.MULTILINE)
    told |= {str(Requirement(name + spec)) for name, spec in names}
    lines = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    assert told == {str(Requirement(line)) for line in lines}


@pytest.mark.skipif(
    "NOX_CURRENT_SESSION" not in os.environ, reason="only nox installs the built wheel"
)
def test_the_tested_package_is_the_installed_wheel() -> None:
    """Under nox the package comes from site-packages, not from the source tree."""
    assert SOURCE not in Path(str(etl_telemetry.__file__)).parents


def test_readme_has_the_two_commands_of_a_fresh_machine() -> None:
    """README shows demo and tests as one line each, and CI runs the second one as printed."""
    readme = (REPOSITORY / "README.md").read_text()
    begin = "python3 -m venv .venv && .venv/bin/pip install 'nox[uv]' && .venv/bin/nox -s "
    assert [line for line in readme.splitlines() if line.startswith("python3 -m venv")] == [
        begin + "demo",
        begin + "tests",
    ]
