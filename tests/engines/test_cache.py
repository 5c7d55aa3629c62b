"""The folders of the cache and their lock."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.engines import cache
from support.engines.fake import fake_engine
from support.engines.recipe import Step

_HOLD = """
import os, sys
sys.path.append(sys.argv[1])
from pathlib import Path
from support.engines.cache import locked
with locked(Path(sys.argv[2]), waiting=lambda: None) as descriptor:
    if sys.argv[3] == "leave-a-child":
        import subprocess
        child = subprocess.Popen(["cat"], stdin=sys.stdin, pass_fds=(descriptor,))
    print("locked", flush=True)
    if sys.argv[3] == "leave-a-child":
        os._exit(0)
    sys.stdin.read()
"""
_TESTS = str(Path(__file__).parents[1])


def test_folder_is_named_after_name_version_and_recipe(tmp_path: Path) -> None:
    """A person who looks into the cache sees what is there; the hash is the same every time."""
    name = cache.folder_name(fake_engine(tmp_path / "recipe"))

    assert name.startswith("fake-1.2.3-")
    assert name == cache.folder_name(fake_engine(tmp_path / "recipe"))


def test_same_recipe_elsewhere_has_the_same_folder(tmp_path: Path) -> None:
    """Two clones of the project share what one of them built."""
    one, other = fake_engine(tmp_path / "one"), fake_engine(tmp_path / "other")

    assert cache.folder_name(one) == cache.folder_name(other)


def test_changed_recipe_file_changes_the_folder(tmp_path: Path) -> None:
    """A pinned checksum that changes is never served from the cache."""
    engine = fake_engine(tmp_path / "recipe")
    before = cache.folder_name(engine)
    (tmp_path / "recipe" / "link.py").write_text("# another one\n")

    assert cache.folder_name(engine) != before


def test_new_and_renamed_files_change_the_folder(tmp_path: Path) -> None:
    """The names of files count as well as their content."""
    engine = fake_engine(tmp_path / "recipe")
    names = {cache.folder_name(engine)}
    (tmp_path / "recipe" / "one").touch()
    names.add(cache.folder_name(engine))
    (tmp_path / "recipe" / "one").rename(tmp_path / "recipe" / "other")
    names.add(cache.folder_name(engine))

    assert len(names) == 3


def test_changed_command_or_environment_changes_the_folder(tmp_path: Path) -> None:
    """Flags of a compiler are part of the recipe."""
    engine = fake_engine(tmp_path / "recipe")
    command = dataclasses.replace(engine, steps=(Step(name="link", command=("true",)),))
    variable = dataclasses.replace(
        engine, steps=(dataclasses.replace(engine.steps[0], environment={"A": "1"}),)
    )

    assert len({cache.folder_name(one) for one in (engine, command, variable)}) == 3


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"ETL_ENGINES_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, Path("/own")),
        ({"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/etl-telemetry/engines")),
        ({}, Path.home() / ".cache" / "etl-telemetry" / "engines"),
    ],
)
def test_cache_is_the_users_unless_a_variable_says_otherwise(
    environ: dict[str, str], folder: Path
) -> None:
    """The project's own variable wins, then XDG's, then the usual place."""
    assert cache.root(environ) == folder


@pytest.mark.parametrize("way", ["hold", "leave-a-child"])
def test_lock_is_held_until_the_last_process_that_has_it_ends(tmp_path: Path, way: str) -> None:
    """Another process waits, also for a compiler whose parent was killed."""
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, _TESTS, str(path), way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    if way == "leave-a-child":
        assert holder.wait(60) == 0
    told = []

    def waiting() -> None:
        told.append("waiting")
        holder.stdin.close()  # ends whoever holds it

    with cache.locked(path, waiting=waiting) as descriptor:
        assert os.fstat(descriptor).st_ino == path.stat().st_ino
    holder.stdout.close()

    assert (told, holder.wait(60)) == (["waiting"], 0)
