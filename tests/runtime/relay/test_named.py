"""A relay with a name: who may join it, and what happens where nobody answers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from etl_telemetry.runtime.relay import named
from support.process import WARNINGS, environment, receiving, run


@pytest.fixture
def short() -> Iterator[Path]:
    """Give a folder with a short path: that of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="etl-", dir="/tmp") as folder:
        yield Path(folder)


RELAY = dedent("""
    import sys
    from pathlib import Path
    from opentelemetry import metrics
    from etl_telemetry import setup_telemetry
    from etl_telemetry.setup import lifecycle
    telemetry = setup_telemetry(service_name="jobs", deadline=10)
    relay = lifecycle().begin_relay()
    assert relay.listen(Path(sys.argv[1]), "jobs")
    relay.begin()
    metrics.get_meter("test").create_counter("things").add(1000)
    print("ready", flush=True)
    sys.stdin.read()
    telemetry.shutdown()
""")
SCRIPT = """
    import logging, os
    from opentelemetry import metrics, trace
    from etl_telemetry import setup_telemetry
    from etl_telemetry.setup import lifecycle
    telemetry = setup_telemetry()
    with trace.get_tracer("test").start_as_current_span("command"):
        metrics.get_meter("test").create_counter("things").add(1)
        logging.getLogger("jobs").warning("loaded")
    print(lifecycle().relay is not None)
"""


@contextmanager
def relay(path: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    """Run a relay until the block ends."""
    process = subprocess.Popen(
        [sys.executable, *WARNINGS, "-c", RELAY, str(path)],
        env=environment(address), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.communicate(timeout=90)
    finally:
        process.kill()
        process.wait()


def joining(path: Path, address: str, script: str = SCRIPT, service: str = "jobs") -> str:
    """Run a script that names the relay; return what it prints."""
    result = run(script, address, OTEL_SERVICE_NAME=service, ETL_TELEMETRY_RELAY_SOCKET=str(path))
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_commands_join_and_leave_no_series(short: Path) -> None:
    """Each hands over what it has; none is a writer."""
    path = short / "private" / "relay"
    with receiving() as (receiver, query):
        with relay(path, receiver.address):
            assert [joining(path, receiver.address) for _ in range(3)] == ["True\n"] * 3
        assert query.sum_latest("things") == {(): 1003}
        assert len(query.series("things")) == 1
        assert [span.name for span in query.spans()] == ["command"] * 3
        assert len([log for log in query.logs() if log.body == "loaded"]) == 3
    assert not path.exists()


def test_another_service_exports_for_itself(short: Path) -> None:
    """Its metrics are not those of the relay's service."""
    path = short / "private" / "relay"
    with receiving() as (receiver, query):
        with relay(path, receiver.address):
            assert joining(path, receiver.address, service="web") == "False\n"
        assert len(query.series("things")) == 2


@pytest.mark.parametrize("left", [False, True], ids=["never there", "killed"])
def test_where_no_relay_answers_a_command_exports_for_itself(left: bool, short: Path) -> None:  # noqa: FBT001
    """Also where a killed one has left its socket; the next relay takes its place."""
    path = short / "private" / "relay"
    with receiving() as (receiver, query):
        if left:
            with relay(path, receiver.address) as process:
                process.kill()
            assert path.exists()
        assert joining(path, receiver.address) == "False\n"
        assert query.sum_latest("things") == {(): 1}
        with relay(path, receiver.address):
            assert joining(path, receiver.address) == "True\n"


def test_who_outlives_the_relay_exports_for_itself(short: Path) -> None:
    """What comes after its end is not lost; what was on its way is counted."""
    path = short / "private" / "relay"
    script = dedent(SCRIPT) + dedent("""
        import signal, time
        os.kill(int(os.environ["RELAY"]), signal.SIGKILL)
        tracer, n = trace.get_tracer("test"), 0
        while lifecycle().relay is not None:
            with tracer.start_as_current_span("meanwhile"):
                time.sleep(0.01)
        with tracer.start_as_current_span("after"):
            metrics.get_meter("test").create_counter("later").add(1)
    """)
    with receiving() as (receiver, query):
        with relay(path, receiver.address) as process:
            result = run(
                script, receiver.address, OTEL_SERVICE_NAME="jobs",
                ETL_TELEMETRY_RELAY_SOCKET=str(path), RELAY=str(process.pid),
            )  # fmt: skip
        assert (result.returncode, result.stdout) == (0, "True\n"), result.stderr
        names = {span.name for span in query.spans()}
        assert "after" in names
        assert query.sum_latest("later") == {(): 1}


def test_a_second_relay_does_not_take_the_place_of_the_first(short: Path) -> None:
    """It relays for its own children only."""
    directory = short / "private"
    first = named.listen(directory / "relay")
    assert first is not None
    with first:
        assert named.listen(directory / "relay") is None


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    """By who listens, with the fix; by who joins, without a word."""
    tmp_path.chmod(0o755)
    with pytest.raises(PermissionError) as told:
        named.listen(tmp_path / "relay")
    assert str(told.value) == (
        "the directory of relay_socket must belong to the user of this process alone (mode 0700), "
        f"got user {tmp_path.stat().st_uid} and mode 0755 of {tmp_path}: choose another one, or "
        f"chmod 700 it"
    )
    assert named.connect(tmp_path / "relay", "jobs") is None
