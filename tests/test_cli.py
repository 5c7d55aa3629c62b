"""`etl-telemetry`: the table of commands."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import metadata

import pytest

from etl_telemetry.cli import COMMANDS, main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its summary, in the order of the table."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    places = [shown.index(f"    {command.name} ") for command in COMMANDS]
    assert places == sorted(places)
    assert all(command.summary in shown for command in COMMANDS)


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """As pip knows it."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"etl-telemetry {metadata.version('etl-telemetry')}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["veiw"], "argument COMMAND: invalid choice: 'veiw' (choose from"),
        (["view", "--prot", "1"], "unrecognized arguments: --prot 1"),
    ],
)
def test_a_wrong_command_line_is_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """Exit code 2, what was wrong, on stderr."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    shown = capsys.readouterr()
    assert (caught.value.code, shown.out) == (2, "")
    assert f"etl-telemetry: error: {message}" in shown.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_keeps_the_contract(command: object) -> None:
    """Its module has `configure(parser)` and `run(options)`."""
    module = command.load()  # type: ignore[attr-defined]
    assert list(inspect.signature(module.configure).parameters) == ["parser"]
    assert list(inspect.signature(module.run).parameters) == ["options"]


def test_help_loads_no_command() -> None:
    """One command's imports (protobuf, SQLite, Django) are not the price of another one."""
    code = (
        "import sys; from etl_telemetry.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.proto', 'google', 'django', 'celery', "
        "'sqlite3', 'etl_telemetry.viewer')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60)
    assert shown.splitlines()[-1] == "[]"


def test_help_of_a_command_keeps_the_spelling_of_its_summary(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """OTLP/HTTP stays in capitals at the head of the help."""
    with pytest.raises(SystemExit):
        main(["view", "--help"])
    assert "\nReceive OTLP/HTTP here and answer questions about it.\n" in capsys.readouterr().out
