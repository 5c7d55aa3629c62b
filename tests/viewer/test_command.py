"""`etl-telemetry view` as a user starts and stops it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store
from support.otlp import ask, send, span, traces

COMMAND = [str(Path(sys.executable).with_name("etl-telemetry")), "view"]


@contextmanager
def viewing(*options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start the command; give the process and what it said up to its last line of greeting."""
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            greeting = []
            for line in process.stdout:
                greeting.append(line.rstrip("\n"))
                if line == "Stop it with Ctrl-C.\n":
                    break
            yield process, greeting
        finally:
            process.kill()


def address_in(greeting: list[str]) -> str:
    """Return the address that was printed."""
    (line,) = [line for line in greeting if "OTEL_EXPORTER_OTLP_ENDPOINT" in line]
    return line.partition("=")[2]


def refused(*options: str) -> str:
    """Return what a command that cannot start says."""
    done = subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_receives_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """It says where it is and how to use it, and ends cleanly with all that it was sent."""
    path = tmp_path / "t.sqlite3"
    with viewing("--port", "0", "--store", str(path)) as (process, greeting):
        address = address_in(greeting)
        assert greeting == [
            f"Receiving OTLP/HTTP on {address}",
            f"Store: {path}",
            f"Questions: {address}/api/v1",
            "",
            "Point an application at it:",
            f"    export OTEL_EXPORTER_OTLP_ENDPOINT={address}",
            "    export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            "",
            "Stop it with Ctrl-C.",
        ]
        body = traces(span()).SerializeToString()
        assert send(address, "/v1/traces", body).status == 200
        assert ask(address, "/api/v1/services") == {"services": [""]}
        process.send_signal(number)
        rest = process.communicate(timeout=60)
        assert (process.returncode, *rest) == (0, "Stopping.\n", "")
    assert list(tmp_path.iterdir()) == [path]
    assert [found.name for found in Query(path).spans()] == ["load"]


def test_without_a_file_the_store_is_temporary() -> None:
    """It says so and how to keep it; nothing is left behind."""
    with viewing("--port", "0") as (process, greeting):
        (line,) = [line for line in greeting if line.startswith("Store: ")]
        assert line.endswith(" (temporary: use --store to keep it)")
        path = Path(line.split()[1])
        assert path.exists()
        process.terminate()
        process.communicate(timeout=60)
    assert not path.parent.exists()


def test_it_warns_when_others_can_reach_it() -> None:
    """There is no login."""
    with viewing("--port", "0", "--host", "0.0.0.0") as (_, greeting):  # noqa: S104 -- the case
        assert greeting[0] == "Warning: 0.0.0.0 lets other machines read and write here."


def test_bounds_can_be_set() -> None:
    """Of a body, and of what is kept."""
    options = ("--port", "0", "--max-body", "300", "--max-rows", "1")
    with viewing(*options) as (_, greeting):
        address = address_in(greeting)
        assert send(address, "/v1/traces", bytes(301)).status == 413
        for number in ("1", "2"):
            body = traces(span(span_id=number * 16)).SerializeToString()
            assert send(address, "/v1/traces", body).status == 200
        counts = ask(address, "/api/v1/counts")
        assert isinstance(counts, dict)
        assert (counts["spans"], counts["dropped_spans"]) == (1, 1)


def test_a_port_in_use_says_what_to_do() -> None:
    """What, value, fix; exit code 2 and no traceback."""
    with Store() as store, Receiver(store) as receiver:
        assert refused("--port", str(receiver.port)) == (
            f"etl-telemetry view: cannot listen on 127.0.0.1 port {receiver.port}: "
            "[Errno 98] Address already in use; stop what uses the port, "
            "or choose another one with --port (0: any free one)\n"
        )


def test_a_host_that_is_not_ours_says_what_to_do() -> None:
    """A name that does not exist, an address of another machine."""
    assert refused("--host", "no-such-host.invalid").startswith(
        "etl-telemetry view: cannot listen on no-such-host.invalid port 4318: "
    )
    assert refused("--host", "192.0.2.1").startswith(
        "etl-telemetry view: cannot listen on 192.0.2.1 port 4318: "
    )


def test_a_store_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    """What, value, fix; exit code 2 and no traceback."""
    path = tmp_path / "missing" / "t.sqlite3"
    assert refused("--port", "0", "--store", str(path)) == (
        f"etl-telemetry view: cannot open the store {path} for writing: "
        "unable to open database file; "
        "give a file in a folder that exists and that you may write to\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [
        ("--port", "65536", "from 0 to 65535"),
        ("--port", "-1", "from 0 to 65535"),
        ("--max-body", "0", "from 1 to 1073741824"),
        ("--max-rows", "many", "from 1 to 1000000000"),
    ],
)
def test_a_wrong_number_is_refused(option: str, value: str, bounds: str) -> None:
    """With the option, the value and what is allowed."""
    shown = refused(option, value)
    assert shown.splitlines()[-1] == (
        f"etl-telemetry view: error: argument {option}: "
        f"must be a whole number {bounds}, got {value!r}"
    )
