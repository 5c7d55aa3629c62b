"""A relay with a name: who may join it, and what happens where nobody answers."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from etl_telemetry.runtime.relay import named
from etl_telemetry.runtime.relay.server import Server
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


def test_a_relay_that_may_open_no_more_files_reads_from_those_who_joined(short: Path) -> None:
    """Who comes too late exports for itself; who is connected is not lost."""
    path = short / "relay"
    script = dedent(f"""
        import os, resource, socket, threading
        from pathlib import Path
        from etl_telemetry.runtime.relay import named, wire
        from etl_telemetry.runtime.relay.server import Server
        read = threading.Event()
        class Receiver:
            def message(self, pid, sections):
                read.set()
            def ended(self, pid, status):
                pass
            def tick(self):
                return None
        reading, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server = Server(reading, lambda data: bool(sending.send(data)), Receiver())
        server.listen(named.listen(Path({str(path)!r})), "jobs")
        server.start()
        joined = named.connect(Path({str(path)!r}), "jobs")
        late = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        free = os.dup(0)
        os.close(free)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        late.connect({str(path)!r})
        joined.send(wire.datagrams([(wire.Kind.MARK, b"B")], pid=os.getpid(), sequence=1)[0])
        print(read.wait(60), flush=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        os._exit(0)
    """)
    done = run(script, "http://127.0.0.1:9")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_question_that_could_not_be_asked_is_forgotten() -> None:
    """Else the relay would not rest any more: somebody seems to wait."""
    reading, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reading, sending:
        server = Server(reading, lambda _: False, Nobody())
        assert not server.settle(time.monotonic())
        assert server._asked == {}


class Nobody:
    """Who takes nothing (`server.Receiver`)."""

    def message(self, pid: int, sections: object) -> None:
        """Take nothing."""

    def ended(self, pid: int, status: int | None) -> None:
        """Take nothing."""

    def tick(self) -> float | None:
        """Have nothing to do."""


def test_who_finds_the_relay_gone_as_it_begins_exports_for_itself() -> None:
    """The relay ended between the handshake and the first word."""
    script = """
        import socket
        from opentelemetry import metrics, trace
        from etl_telemetry import setup_telemetry
        from etl_telemetry.runtime.relay.relay import Relay
        from etl_telemetry.setup import lifecycle
        telemetry = setup_telemetry(deadline=30)
        life = lifecycle()
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        there.close()
        assert life._current.signals is None, "nothing was built before"
        life.relay = Relay(life._current, joined=here)
        with trace.get_tracer("test").start_as_current_span("command"):
            metrics.get_meter("test").create_counter("things").add(1)
        assert life.relay is None
    """
    with receiving() as (receiver, query):
        done = run(script, receiver.address)
        assert (done.returncode, done.stderr) == (0, "telemetry_dropped\n")  # Its greeting.
        assert [span.name for span in query.spans()] == ["command"]
        assert query.sum_latest("things") == {(): 1}


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
