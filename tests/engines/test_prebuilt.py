"""Engines that are there already: taken when they fit, refused when somebody named a wrong one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from support.engines import EngineError, EngineMissing, cache, locate
from support.engines.fake import fake_engine, make, program
from support.engines.prebuilt import Prebuilt, find
from support.engines.recipe import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Give an engine, 1.2.3, that nobody has built."""
    return fake_engine(tmp_path / "recipe")


@pytest.fixture
def jars(engine: Engine) -> Engine:
    """Give an engine that is a folder of jars."""
    return dataclasses.replace(engine, version_jar="lib/fake_2.13-[0-9]*.jar", commands={})


@pytest.mark.parametrize("version", ["1.2.3", "1.2.9"])
def test_named_program_of_the_same_minor_version_is_taken(
    tmp_path: Path, engine: Engine, version: str
) -> None:
    """A patch release is as good as the pinned one."""
    path = program(tmp_path / "own" / "fake", says=f"fake, version v{version} (branch: HEAD)")

    found = find("fake", engine, {"ETL_ENGINE_FAKE": str(path)})

    assert found == Prebuilt(path=path, version=version, origin="ETL_ENGINE_FAKE")


def test_version_is_read_from_the_error_output_too(tmp_path: Path, engine: Engine) -> None:
    """Some programs print their version there."""
    path = program(tmp_path / "fake", says="")
    path.write_text("#!/bin/sh\necho fake-tags-v1.2.3 >&2\n")

    assert find("fake", engine, {"ETL_ENGINE_FAKE": str(path)}) is not None


@pytest.mark.parametrize(
    ("says", "got"),
    [
        ("fake, version 1.3.0", "that is version 1.3.0"),
        ("hello", "its `--version` tells no version"),
    ],
)
def test_named_program_that_does_not_fit_is_an_error(
    tmp_path: Path, engine: Engine, says: str, got: str
) -> None:
    """Somebody meant it: it is not silently replaced by another one."""
    path = program(tmp_path / "fake", says=says)

    with pytest.raises(EngineError) as caught:
        find("fake", engine, {"ETL_ENGINE_FAKE": str(path)})

    assert str(caught.value) == (
        f"ETL_ENGINE_FAKE={path}: {got}, but fake 1.2.x is needed (pinned: 1.2.3).\n"
        "Fix: name one that fits, or unset ETL_ENGINE_FAKE."
    )


def test_named_program_that_does_not_exist_is_an_error(engine: Engine) -> None:
    """A typing mistake does not start a build of minutes."""
    with pytest.raises(EngineError) as caught:
        find("fake", engine, {"ETL_ENGINE_FAKE": "/nowhere/fake"})

    assert str(caught.value) == (
        "ETL_ENGINE_FAKE=/nowhere/fake: there is no such file,"
        " but fake 1.2.x is needed (pinned: 1.2.3).\n"
        "Fix: name one that fits, or unset ETL_ENGINE_FAKE."
    )


def test_program_on_path_that_fits_is_taken(tmp_path: Path, engine: Engine) -> None:
    """It is found under each name that distributions give it."""
    path = program(tmp_path / "bin" / "fake-server", says="fake 1.2.0")

    found = find("fake", engine, {"PATH": str(tmp_path / "bin")})

    assert found == Prebuilt(path=path, version="1.2.0", origin="PATH")


def test_program_on_path_that_does_not_fit_is_passed_over(tmp_path: Path, engine: Engine) -> None:
    """A distribution's old package is nobody's mistake; the next name is looked at."""
    program(tmp_path / "bin" / "fake", says="fake 0.9.0")
    path = program(tmp_path / "bin" / "fake-server", says="fake 1.2.3")

    found = find("fake", engine, {"PATH": str(tmp_path / "bin")})

    assert found == Prebuilt(path=path, version="1.2.3", origin="PATH")


def test_named_program_wins_over_path(tmp_path: Path, engine: Engine) -> None:
    """The variable is the person's own word."""
    program(tmp_path / "bin" / "fake", says="fake 1.2.3")
    own = program(tmp_path / "own", says="fake 1.2.4")

    found = find("fake", engine, {"PATH": str(tmp_path / "bin"), "ETL_ENGINE_FAKE": str(own)})

    assert found == Prebuilt(path=own, version="1.2.4", origin="ETL_ENGINE_FAKE")


def test_replaced_program_is_asked_again(tmp_path: Path, engine: Engine) -> None:
    """An answer is remembered for a file, not for its name."""
    path = program(tmp_path / "fake", says="fake 1.2.3")
    environ = {"ETL_ENGINE_FAKE": str(path)}
    find("fake", engine, environ)
    program(path, says="fake 1.2.77")

    assert find("fake", engine, environ) == Prebuilt(
        path=path, version="1.2.77", origin="ETL_ENGINE_FAKE"
    )


def test_folder_of_jars_tells_its_version_by_its_main_jar(tmp_path: Path, jars: Engine) -> None:
    """Nothing is started; a Scala version in the name is not the engine's."""
    (tmp_path / "home" / "lib").mkdir(parents=True)
    (tmp_path / "home" / "lib" / "fake_2.13-1.2.5.jar").touch()

    found = find("fake", jars, {"ETL_ENGINE_FAKE": str(tmp_path / "home")})

    assert found == Prebuilt(path=tmp_path / "home", version="1.2.5", origin="ETL_ENGINE_FAKE")


def test_folder_without_the_main_jar_is_an_error(tmp_path: Path, jars: Engine) -> None:
    """The message says what would be looked for."""
    with pytest.raises(EngineError) as caught:
        find("fake", jars, {"ETL_ENGINE_FAKE": str(tmp_path)})

    assert str(caught.value) == (
        f"ETL_ENGINE_FAKE={tmp_path}: there is no lib/fake_2.13-[0-9]*.jar in it,"
        " but fake 1.2.x is needed (pinned: 1.2.3).\n"
        "Fix: name one that fits, or unset ETL_ENGINE_FAKE."
    )


def test_missing_engine_is_told_with_the_command_that_makes_it(
    tmp_path: Path, engine: Engine
) -> None:
    """Whoever runs a test of the stack first reads what to do."""
    with pytest.raises(EngineMissing) as caught:
        locate("fake", environ={"ETL_ENGINES_CACHE": str(tmp_path)}, engines=(engine,))

    assert str(caught.value) == (
        f"fake 1.2.3 is not built: there is no {tmp_path / cache.folder_name(engine)},"
        " and no fake or fake-server on PATH that fits.\n"
        "Fix: nox -s engines -- fake (or name a prebuilt one: ETL_ENGINE_FAKE=...)"
    )


def test_missing_folder_of_jars_is_not_looked_for_on_path(tmp_path: Path, jars: Engine) -> None:
    """The message promises nothing that is not done."""
    with pytest.raises(EngineMissing) as caught:
        locate("fake", environ={"ETL_ENGINES_CACHE": str(tmp_path)}, engines=(jars,))

    assert str(caught.value) == (
        f"fake 1.2.3 is not built: there is no {tmp_path / cache.folder_name(jars)}.\n"
        "Fix: nox -s engines -- fake (or name a prebuilt one: ETL_ENGINE_FAKE=...)"
    )


def test_unknown_engine_is_told_with_those_there_are(engine: Engine) -> None:
    """A typing mistake is answered with the list."""
    with pytest.raises(EngineError) as caught:
        locate("fakir", environ={}, engines=(engine,))

    assert str(caught.value) == "There is no engine 'fakir'. There are: fake."


def test_built_engine_is_located_in_the_cache(tmp_path: Path, engine: Engine) -> None:
    """The path is that of the program, ready to start."""
    place, _ = make(engine, tmp_path)

    located = locate("fake", environ={"ETL_ENGINES_CACHE": str(tmp_path)}, engines=(engine,))

    assert located == place / "fake"
