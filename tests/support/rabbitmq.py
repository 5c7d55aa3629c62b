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


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a server with its data in a folder; give its URL. Its port mapper ends with it."""
    port, mapper, distribution = free_port(), free_port(), free_port()
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
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
    }
    (folder / "plugins").write_text("[].")
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
        _wait(process, port, folder / "output")
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
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
def rabbitmq() -> Iterator[str]:
    """Run a server for the tests of a module; give its URL."""
    with (
        tempfile.TemporaryDirectory(prefix="etl-rabbitmq-") as folder,
        server(Path(folder)) as url,
    ):
        yield url
