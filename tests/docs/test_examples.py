"""Every example of README, CONTRIBUTING and docs/ works as it is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.pages import REPOSITORY, RUN, Block, blocks, pages

RUNNER = Path(__file__).parent.parent / "support" / "run_page.py"
SHIMS = Path(__file__).parent.parent / "support" / "shims"
LANGUAGES = {
    *RUN, "text", "json", "toml", "ini", "yaml", "promql", "html", "http", "bash", "diff",
    "{toctree}", "{include}", "{catalogue}", "{configuration}", "{measured}", "{eval-rst}",
    "{image}", "{note}", "{warning}",
}  # fmt: skip


def name(page: Path) -> str:
    """Name a page as a reader does."""
    return page.relative_to(REPOSITORY).as_posix()


def is_run(block: Block) -> bool:
    """Tell whether a block is executed."""
    return block.language in RUN and block.directive is None


WITH_EXAMPLES = [page for page in pages() if any(map(is_run, blocks(page)))]
NOT_RUN = [
    pytest.param(block, id=f"{name(page)}:{block.line}")
    for page in pages()
    for block in blocks(page)
    if block.directive == "not run"
]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name)
def test_examples_of_page_work(page: Path, tmp_path: Path) -> None:
    """The blocks of a page run in order, in an empty folder, and print what the page shows."""
    # A tool of this environment first, so that `python`, `django-admin`, `celery` are ours; the
    # shims last, for a machine that has no curl.
    path = [str(Path(sys.executable).parent), os.environ["PATH"], str(SHIMS)]
    environment = os.environ | {"PATH": os.pathsep.join(path), "HOME": str(tmp_path)}
    folder = tmp_path / "page"
    folder.mkdir()
    # nox has its temporary folders in the repository: a page's pytest must not find our settings.
    (tmp_path / "pytest.ini").touch()
    # Locks and sockets lie there, under the names of services that other pages have too. Short: the
    # path of a socket has a hundred characters.
    with tempfile.TemporaryDirectory(prefix="page-") as own:
        done = subprocess.run(
            [sys.executable, str(RUNNER), str(page)],
            cwd=folder,
            env=environment | {"TMPDIR": own},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["failure"] is None, report["failure"]
    assert report["ran"] == sum(map(is_run, blocks(page)))


@pytest.mark.parametrize("block", NOT_RUN)
def test_example_is_not_run(block: Block) -> None:
    """A block that is only shown says why, and shows up in the count of skipped tests."""
    assert len(block.argument.split()) >= 3, "the reason is missing"
    pytest.skip(block.argument)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_page_has_only_known_blocks(page: Path) -> None:
    """A block has a language that we run, or one that is data: a typing error hides nothing."""
    found = {(block.line, block.language) for block in blocks(page)}
    assert {entry for entry in found if entry[1] not in LANGUAGES} == set()


@pytest.mark.skipif(shutil.which("bash") is None, reason="console examples need bash")
def test_runner_reports_a_wrong_output(tmp_path: Path) -> None:
    """A page whose output is wrong fails and names file, line and difference."""
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n<!-- output -->\n```text\n2\n```\n")
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(page)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["failure"] == f"{page}:7\nExpected:\n    2\nGot:\n    1\n"


def test_map_of_the_house_has_every_room() -> None:
    """docs/explanation/architecture.md names each room of the package, and no other."""
    page = (REPOSITORY / "docs" / "explanation" / "architecture.md").read_text()
    told = re.findall(r"^\| \d+ \| `(\w+)` \|", page, re.MULTILINE)
    source = REPOSITORY / "src" / "etl_telemetry"
    rooms = {path.stem for path in source.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert sorted(told) == sorted(rooms - {"__init__", "__pycache__"})
