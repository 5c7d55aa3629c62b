"""The command `python -m support.engines`."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.engines import EngineError
from support.engines.__main__ import chosen, make
from support.engines.fake import fake_engine, program, timeless
from support.engines.progress import Progress
from support.engines.recipe import Engine
from support.engines.table import ENGINES

_TESTS = str(Path(__file__).parents[1])


@pytest.fixture
def engines(tmp_path: Path) -> tuple[Engine, Engine, Engine]:
    """Give three engines: the second one's build fails, the third is not built by default."""
    good = fake_engine(tmp_path / "good")
    bad = fake_engine(tmp_path / "bad", compile="raise SystemExit(2)")
    rare = fake_engine(tmp_path / "rare")
    return (
        dataclasses.replace(good, name="good", commands={}),
        dataclasses.replace(bad, name="bad", commands={}),
        dataclasses.replace(rare, name="rare", commands={}, default=False),
    )


def _run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command as nox does: an environment with nothing installed."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ETL_ENGINE")}
    return subprocess.run(
        [sys.executable, "-S", "-W", "error", "-m", "support.engines", *arguments],
        env={**inherited, "PYTHONPATH": _TESTS, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_names_choose_engines_and_programs(engines: tuple[Engine, Engine, Engine]) -> None:
    """In the table's order, whatever the order of the names; none means the usual ones."""
    good, bad, rare = engines

    assert chosen([], everything=False, engines=engines) == [good, bad]
    assert chosen(["rare", "good"], everything=False, engines=engines) == [good, rare]
    assert chosen([], everything=True, engines=engines) == [good, bad, rare]
    assert [engine.name for engine in chosen(["amtool"], everything=False, engines=ENGINES)] == [
        "alertmanager"
    ]


def test_failed_build_does_not_stop_the_next_one(
    tmp_path: Path, engines: tuple[Engine, Engine, Engine]
) -> None:
    """One run shows everything that is wrong; what could be built is there."""
    good, bad, rare = engines
    shown = io.StringIO()

    failures = make([bad, good, rare], root=tmp_path / "cache", progress=Progress(stream=shown))

    assert failures == ["bad"]
    lines = timeless(shown.getvalue()).splitlines()
    assert lines[0] == "bad 1/2 compile  N s"
    assert [line.split(": /")[0] for line in lines if "built in" in line] == [
        "good 1.2.3: built in N s",
        "rare 1.2.3: built in N s",
    ]


def test_prebuilt_and_cached_engines_are_told_and_not_built(
    tmp_path: Path, engines: tuple[Engine, Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person sees which program the stack will run, and why that one."""
    good, bad, _ = engines
    root = tmp_path / "cache"
    make([good], root=root, progress=Progress(stream=io.StringIO()))
    own = program(tmp_path / "own", says="fake 1.2.9")
    shown = io.StringIO()

    make([good], root=root, progress=Progress(stream=shown))
    monkeypatch.setenv("ETL_ENGINE_FAKE", str(own))
    make([bad], root=root, progress=Progress(stream=shown))

    place = next(path for path in root.iterdir() if path.is_dir())
    assert shown.getvalue() == (
        f"good 1.2.3: {place}\nbad 1.2.3: {own} (1.2.9, from ETL_ENGINE_FAKE)\n"
    )


def test_nothing_is_built_when_a_tool_is_missing(
    tmp_path: Path, engines: tuple[Engine, Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of what is missing comes at once, not after minutes."""
    good, bad, _ = engines
    monkeypatch.setenv("PATH", str(tmp_path))
    needing = dataclasses.replace(bad, needs={"go": "1.26.0"})

    with pytest.raises(EngineError, match=r"^Tools are missing to build engines:\n- Go 1\.26\.0"):
        make([good, needing], root=tmp_path / "cache", progress=Progress(stream=io.StringIO()))

    assert not (tmp_path / "cache").exists()


def test_list_shows_every_engine_and_builds_nothing(tmp_path: Path) -> None:
    """It needs neither tools nor packages: the standard library is enough."""
    done = _run("--list", "--all", ETL_ENGINES_CACHE=str(tmp_path), PATH="/nowhere")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{e.name} {e.version}: not built\n" for e in ENGINES)
    assert list(tmp_path.iterdir()) == []


def test_wrong_name_ends_the_command_with_the_list_of_names() -> None:
    """No traceback, exit code 1."""
    done = _run("elastic")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "There is no engine 'elastic'. There are: alertmanager, amtool, collector, elasticsearch,"
        " jaeger, kafka, loki, prometheus, promtool, victoriametrics.\n"
    )


def test_prebuilt_one_that_does_not_fit_ends_the_command(tmp_path: Path) -> None:
    """Before anything is built, in the words of the search."""
    own = program(tmp_path / "jaeger", says="jaeger version v1.60.0")

    done = _run("jaeger", ETL_ENGINE_JAEGER=str(own), ETL_ENGINES_CACHE=str(tmp_path / "cache"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"ETL_ENGINE_JAEGER={own}: that is version 1.60.0,"
        " but jaeger 2.13.x is needed (pinned: 2.13.0).\n"
        "Fix: name one that fits, or unset ETL_ENGINE_JAEGER.\n"
    )
