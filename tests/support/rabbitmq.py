"""A real RabbitMQ, from Debian's `rabbitmq-server`: `from support.rabbitmq import rabbitmq`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.broker import free_port

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server itself: the one in the path changes the user and knows one place for its data."""
PATIENCE = 240.0
MISSING = "RabbitMQ is missing: apt-get install --no-install-recommends rabbitmq-server"

needs_rabbitmq = pytest.mark.skipif(
    not PROGRAM.is_file() or shutil.which("erl") is None, reason=MISSING
)


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """A running server."""

    url: str
    """For Celery."""
    api: str
    """Of its management plugin."""


@contextmanager
def server(folder: Path) -> Iterator[RabbitMQ]:
    """Run a server with its data in a folder. Its port mapper ends with it."""
    port, mapper, distribution, management = (free_port() for _ in range(4))
    environment = {
        **os.environ,
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
    }
    (folder / "plugins").write_text("[rabbitmq_management].")
    (folder / "rabbitmq.conf").write_text(
        f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
        "collect_statistics_interval = 500\n"  # Milliseconds: its own statistics are that old.
    )
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [str(PROGRAM)],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        for needed in (port, management):
            _wait(process, needed, folder / "output")
        yield RabbitMQ(f"amqp://guest:guest@127.0.0.1:{port}//", f"http://127.0.0.1:{management}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # It leaves its mapper of names behind, a daemon of Erlang; the port is this server's own.
        mapping = {**environment, "PATH": os.environ["PATH"]}
        subprocess.run(["epmd", "-kill"], env=mapping, capture_output=True, check=False)


def _wait(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[RabbitMQ]:
    """Run a server for the tests of a module."""
    with (
        tempfile.TemporaryDirectory(prefix="etl-rabbitmq-") as folder,
        server(Path(folder)) as running,
    ):
        yield running
