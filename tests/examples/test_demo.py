"""The demo driver: what it compares, what it refuses, and that it leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

import psutil
import pytest
from rich.console import Console

from demo import driver
from demo.errors import DemoError
from demo.facts import Difference, Facts, differences, from_ledger
from demo.options import check_interpreter, parse
from demo.processes import Fleet, wait_for
from demo.summary import Summary
from support.pages import REPOSITORY

PLATFORM = REPOSITORY / "examples" / "etl_platform"
LEDGER = {
    "runs": {"daily": {"failed": 1, "success": 2}},
    "tasks": {"daily": {"load": {"retried": 1, "success": 3}}},
    "rows": {
        "daily": {
            "load": {"read": 5, "processed": 4, "rejected": 1, "skipped": 0, "reasons": {"bad": 1}}
        }
    },
}
FACTS = Facts(
    runs={("daily", "success"): 2, ("daily", "failed"): 1},
    traces={("daily", "success"): 2, ("daily", "failed"): 1},
    tasks={("daily", "load", "success"): 3, ("daily", "load", "retried"): 1},
    records={("load", "success"): 3, ("load", "retried"): 1},
    spans={("all tasks",): 4},
    rows={("daily", "load", "read"): 5, ("daily", "load", "processed"): 4,
          ("daily", "load", "rejected"): 1},
)  # fmt: skip


def test_equal_accounts_have_no_differences() -> None:
    """A ledger and telemetry that say the same are equal; a count of 0 is no count."""
    assert differences(from_ledger(LEDGER), FACTS) == []


@pytest.mark.parametrize("fact", ["runs", "traces", "tasks", "records", "rows"])
def test_every_kind_of_difference_is_named(fact: str) -> None:
    """One too few, one too many, and one that only one side has: each is named with its key."""
    counts = dict(getattr(FACTS, fact))
    first, second = list(counts)[:2]
    counts[first] -= 1
    counts[second] += 1
    counts["other",] = 7
    arrived = Facts(**{**{f: getattr(FACTS, f) for f in FACTS.__slots__}, fact: counts})
    found = differences(FACTS, arrived)
    assert sorted(found, key=lambda each: each.key) == sorted(
        [
            Difference(fact, first, counts[first] + 1, counts[first]),
            Difference(fact, second, counts[second] - 1, counts[second]),
            Difference(fact, ("other",), 0, 7),
        ],
        key=lambda each: each.key,
    )


def test_difference_reads_as_a_sentence() -> None:
    """A difference names what, where, both counts and how far they are apart."""
    text = str(Difference("rows", ("daily", "load", "read"), 1200, 1100))
    assert text == "rows of daily / load / read: ledger 1,200, arrived 1,100 (-100)"


def test_report_as_json_has_the_documented_shape() -> None:
    """Top level runs, tasks, rows and reconciliation, as the README of the demo documents."""
    difference = Difference("runs", ("daily", "lost"), 0, 1)
    summary = Summary(facts=FACTS, durations={"daily": [1.0, 2.0, 4.0]}, differences=[difference])
    assert json.loads(json.dumps(summary.as_json())) == {
        "runs": {"daily": {"failed": 1, "success": 2}},
        "tasks": {"daily": {"load": {"retried": 1, "success": 3}}},
        "rows": {"daily": {"load": {"processed": 4, "read": 5, "rejected": 1, "skipped": 0}}},
        "reconciliation": {
            "equal": False,
            "differences": [{"fact": "runs", "key": ["daily", "lost"], "ledger": 0, "arrived": 1}],
        },
        "success_rate": 0.6667,
        "durations": {"daily": {"p50": 2.0, "p95": 4.0}},
        "totals": {
            "runs": 3,
            "tasks": 4,
            "rows": {"read": 5, "processed": 4, "rejected": 1, "skipped": 0},
            "rows_by_step": {"load": {"read": 5, "processed": 4, "rejected": 1, "skipped": 0}},
        },
    }


@pytest.mark.parametrize(
    ("found", "code"), [([], 0), ([Difference("runs", ("daily", "lost"), 0, 1)], 1)]
)
def test_exit_code_tells_whether_both_sides_agree(
    found: list[Difference], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference makes the command fail, and is in the report that it has written."""
    for name in ("telemetry", "platform", "services", "Client", "_settle", "report"):
        monkeypatch.setattr(driver, name, MagicMock())
    driver.telemetry.return_value.__enter__.return_value = (None, "http://unused")
    monkeypatch.setattr(driver, "run_all", lambda *_: None)
    summary = Summary(facts=FACTS, durations={}, differences=found)
    monkeypatch.setattr(driver, "_summarize", lambda *_: summary)
    written = tmp_path / "demo.json"
    options = parse(["--once", "--report", str(written), "--data", str(tmp_path / "data")])
    assert driver.run(options, Console(quiet=True)) == code
    assert json.loads(written.read_text())["reconciliation"]["equal"] is (not found)


def test_port_in_use_is_told(tmp_path: Path) -> None:
    """A port that somebody listens on stops the demo before it starts, with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DemoError) as caught:
            parse(["--web-port", str(port), "--data", str(tmp_path / "data")])
    assert str(caught.value) == (
        f"Port {port} cannot be used: [Errno 98] Address already in use. Stop what listens there, "
        f"or choose another one: nox -s demo -- --web-port {port % 60000 + 1}"
    )


def test_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A report in a folder that is not there is found before the demo runs for a minute."""
    report = tmp_path / "absent" / "demo.json"
    with pytest.raises(DemoError) as caught:
        parse(["--once", "--report", str(report)])
    assert str(caught.value) == (
        f"The report cannot be written to {report}: [Errno 2] No such file or directory: "
        f"'{report}'. Choose another --report FILE."
    )


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A data folder without write permission is told (root may write anywhere, a file stops it)."""
    (tmp_path / "file").touch()
    with pytest.raises(DemoError) as caught:
        parse(["--once", "--data", str(tmp_path / "file" / "data")])
    assert str(caught.value) == (
        "The demo cannot write its data: [Errno 20] Not a directory: "
        f"'{tmp_path}/file/data'. Choose a folder: nox -s demo -- --data FOLDER"
    )


def test_folder_of_an_earlier_demo_is_refused(tmp_path: Path) -> None:
    """Old runs in the ledger would have no telemetry: the demo wants an empty folder."""
    (tmp_path / "platform.sqlite3").touch()
    with pytest.raises(DemoError) as caught:
        parse(["--once", "--data", str(tmp_path)])
    assert str(caught.value) == (
        f"The folder {tmp_path} is not empty (platform.sqlite3). The demo compares everything "
        "that it finds with what arrives, so choose a new folder, or none for a temporary one."
    )


def test_wrong_interpreter_is_told() -> None:
    """A Python that is too old is named, with the way out."""
    with pytest.raises(DemoError) as caught:
        check_interpreter((3, 10))
    assert str(caught.value) == (
        f"The demo needs Python 3.11 or newer, this is 3.10 ({sys.executable}). "
        "Make the environment anew with a newer one: python3.11 -m venv .venv"
    )


def test_process_that_dies_is_told_with_its_log(tmp_path: Path) -> None:
    """A service that ends by itself stops the demo with the end of its log."""
    fleet = Fleet(folder=tmp_path, logs=tmp_path, environment=dict(os.environ))
    fleet.start("web", sys.executable, "-c", "print('no such setting'); raise SystemExit(3)")
    try:
        with pytest.raises(DemoError) as caught:
            wait_for("Its end", lambda: False, fleet)
    finally:
        fleet.stop()
    assert str(caught.value) == (
        f"web ended with exit code 3. The end of {tmp_path}/web.log:\n  | no such setting"
    )


@pytest.mark.parametrize(
    ("log", "line", "processes", "number"),
    [("worker", "ready", 5, signal.SIGINT), ("seed", "", 2, signal.SIGTERM)],
)
def test_interrupted_demo_leaves_nothing_running(
    log: str, line: str, processes: int, number: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C stops web, worker with children, beat, observer, broker; SIGTERM a command, too."""
    command = [sys.executable, "-m", "demo", "--once", "--data", str(tmp_path / "data")]
    demo = subprocess.Popen(
        command, cwd=PLATFORM, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        written = tmp_path / "data" / "logs" / f"{log}.log"
        deadline = time.monotonic() + 120
        family: list[psutil.Process] = []
        while len(family) < processes or not (written.exists() and line in written.read_text()):
            assert demo.poll() is None, demo.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
            family = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(number)
        output = demo.communicate(timeout=120)
        assert demo.returncode == 128 + number, output
        assert [process for process in family if is_alive(process)] == []
    finally:
        demo.kill()
        demo.communicate()


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still does something (an orphan's zombie waits for init)."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
