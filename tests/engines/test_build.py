"""Builds: whole or not at all, once, and going on where they stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.engines import EngineError, cache
from support.engines.fake import fake_engine, make, timeless

_TESTS = str(Path(__file__).parents[1])
_COUNT = "import os; open(os.environ['COUNTED'], 'a').write('{name} ')\n"
# A process that builds the fake engine of the folders it is given.
_BUILD = """
import signal, sys
sys.path.append(sys.argv[1])
from pathlib import Path
from support.engines.build import build
from support.engines.progress import Progress
from support.engines.fake import fake_engine
signal.signal(signal.SIGTERM, signal.default_int_handler)
steps = {path.stem: path.read_text() for path in map(Path, sys.argv[4:])}
engine = fake_engine(Path(sys.argv[2]), **steps)
build(engine, root=Path(sys.argv[3]), tools={}, progress=Progress(stream=sys.stderr))
"""


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file in which steps count themselves."""
    path = tmp_path / "counted.txt"
    path.touch()
    monkeypatch.setenv("COUNTED", str(path))
    return path


def _steps(tmp_path: Path, **scripts: str) -> list[str]:
    """Write scripts of steps; return their paths."""
    paths = []
    for name, script in scripts.items():
        path = tmp_path / f"{name}.py"
        path.write_text(script)
        paths.append(str(path))
    return paths


def _start(tmp_path: Path, *steps: str) -> subprocess.Popen[str]:
    """Start a process that builds."""
    folders = (str(tmp_path / "recipe"), str(tmp_path / "cache"))
    return subprocess.Popen(
        [sys.executable, "-c", _BUILD, _TESTS, *folders, *steps],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_built_engine_is_all_that_is_left(tmp_path: Path) -> None:
    """The folder holds what the steps put out; the unfinished build is gone."""
    engine = fake_engine(tmp_path / "recipe")

    place, shown = make(engine, tmp_path / "cache")

    name = cache.folder_name(engine)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [name, f"{name}.lock"]
    assert [path.name for path in place.iterdir()] == ["fake"]
    assert shown == "fake 1/1 link  N s\n"


def test_built_engine_is_not_built_again(tmp_path: Path, counted: Path) -> None:
    """The second call gives the folder and says nothing."""
    engine = fake_engine(tmp_path / "recipe", fetch=_COUNT.format(name="fetch"))
    first, _ = make(engine, tmp_path / "cache")

    assert make(engine, tmp_path / "cache") == (first, "")
    assert counted.read_text() == "fetch "


def test_failed_step_leaves_no_engine_and_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The message has the step, its code, its own lines only, and where the rest is."""
    script = "print('no such module'); raise SystemExit(3)"
    engine = fake_engine(tmp_path / "recipe", fetch="print('fetched')", compile=script)

    with pytest.raises(EngineError) as caught:
        make(engine, tmp_path / "cache")

    name = cache.folder_name(engine)
    partial = tmp_path / "cache" / f"{name}.partial"
    assert timeless(str(caught.value)) == (
        "fake: step 'compile' ended with 3 after N s:\n"
        f"    === compile: {sys.executable} compile.py {partial / 'engine'}\n"
        "    no such module\n"
        f"The whole log: {partial / 'log.txt'}"
    )
    assert not (tmp_path / "cache" / name).exists()


def test_program_that_cannot_be_started_is_told_like_a_failed_step(tmp_path: Path) -> None:
    """A tool that vanished between the search and the build is no traceback."""
    engine = fake_engine(tmp_path / "recipe")
    step = dataclasses.replace(engine.steps[0], command=("/nowhere/go", "build"))

    with pytest.raises(EngineError, match=r"fake: step 'link' cannot start /nowhere/go: .*No such"):
        make(dataclasses.replace(engine, steps=(step,)), tmp_path / "cache")


def test_build_goes_on_at_the_step_that_failed(tmp_path: Path, counted: Path) -> None:
    """What was fetched is not fetched again once the reason of the failure is gone."""
    script = _COUNT.format(name="compile") + "os.stat(os.environ['COUNTED'] + '.permit')"
    engine = fake_engine(tmp_path / "recipe", fetch=_COUNT.format(name="fetch"), compile=script)
    with pytest.raises(EngineError):
        make(engine, tmp_path / "cache")
    Path(f"{counted}.permit").touch()

    _, shown = make(engine, tmp_path / "cache")

    assert counted.read_text() == "fetch compile compile "
    assert shown == "fake 2/3 compile  N s\nfake 3/3 link  N s\n"


def test_interrupted_build_ends_its_processes_and_goes_on_later(
    tmp_path: Path, counted: Path
) -> None:
    """Ctrl-C or a CI's SIGTERM in the middle of a step: no compiler stays, no step is repeated."""
    # It hangs the first time; the second time its file is there.
    hang = (
        _COUNT.format(name="compile")
        + "import pathlib, time\n"
        + "mark = pathlib.Path('pid')\n"
        + "if not mark.exists():\n"
        + "    mark.write_text(str(os.getpid()))\n"
        + "    time.sleep(600)\n"
    )
    steps = _steps(tmp_path, fetch=_COUNT.format(name="fetch"), compile=hang)
    process = _start(tmp_path, *steps)
    deadline = time.monotonic() + 60
    marks: list[Path] = []
    while not (marks and marks[0].read_text()):
        assert time.monotonic() < deadline, "the step did not start"
        time.sleep(0.05)
        marks = [*(tmp_path / "cache").glob("*.partial/work/pid")]

    process.send_signal(signal.SIGTERM)

    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    with pytest.raises(ProcessLookupError):
        os.kill(int(marks[0].read_text()), 0)
    again = _start(tmp_path, *steps)
    assert (
        timeless(again.communicate(timeout=60)[1]) == "fake 2/3 compile  N s\nfake 3/3 link  N s\n"
    )
    assert counted.read_text() == "fetch compile compile "


def test_two_processes_build_once(tmp_path: Path, counted: Path) -> None:
    """The second one waits for the first and takes what it made."""
    slow = _COUNT.format(name="compile") + "import time; time.sleep(2)"
    steps = _steps(tmp_path, compile=slow)

    processes = [_start(tmp_path, *steps) for _ in range(2)]
    shown = {process.communicate(timeout=120)[1] for process in processes}

    assert [process.returncode for process in processes] == [0, 0]
    assert counted.read_text() == "compile "
    assert "fake: another process builds it, waiting\n" in shown


def test_build_of_another_version_than_the_recipes_is_refused(tmp_path: Path) -> None:
    """A recipe whose pin and version disagree does not fill the cache."""
    engine = dataclasses.replace(fake_engine(tmp_path / "recipe"), version="1.3.0")

    with pytest.raises(EngineError) as caught:
        make(engine, tmp_path / "cache")

    name = cache.folder_name(engine)
    assert str(caught.value) == (
        "fake: what was built as fake says version 1.2.3, the recipe says 1.3.0.\n"
        f"The log: {tmp_path / 'cache' / f'{name}.partial' / 'log.txt'}"
    )
    assert not (tmp_path / "cache" / name).exists()


def test_tools_and_folders_are_filled_into_commands_and_environment(tmp_path: Path) -> None:
    """A step gets the tool that was found, not the first one on PATH."""
    script = "import os, sys; print(os.environ['JAVA_HOME']); raise SystemExit(1)"
    engine = fake_engine(tmp_path / "recipe", package=script)
    step = dataclasses.replace(engine.steps[0], environment={"JAVA_HOME": "{jdk}"})

    with pytest.raises(EngineError, match=r"\n    /jdk/25\n"):
        make(
            dataclasses.replace(engine, steps=(step,)), tmp_path / "cache", tools={"jdk": "/jdk/25"}
        )
