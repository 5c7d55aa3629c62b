"""A real MariaDB, from Debian's `mariadb-server`: `from support.mariadb import mariadb`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from support.broker import free_port

PATIENCE = 240.0
PROGRAM = shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or ""
MISSING = "MariaDB is missing: apt-get install --no-install-recommends mariadb-server"

needs_mariadb = pytest.mark.skipif(not PROGRAM, reason=MISSING)


@contextmanager
def server(folder: Path, *databases: str) -> Iterator[str]:
    """Run a server that asks for no password, with some databases; give its URL."""
    port = free_port()
    log, data = folder / "log", folder / "data"
    data.mkdir()
    options = (
        "--no-defaults", f"--datadir={data}", "--skip-grant-tables", "--user=root",
        f"--socket={folder}/socket", f"--port={port}", "--bind-address=127.0.0.1",
        f"--pid-file={folder}/pid",
        # Debian's own; they compare names without regard to capitals and accents.
        "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci",
        "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync",
    )  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen([PROGRAM, *options], stdout=output, stderr=output)
    try:
        end = time.monotonic() + PATIENCE
        while not _makes(port, databases):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield f"mysql://root@127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _makes(port: int, databases: tuple[str, ...]) -> bool:
    """Make the databases; False while nobody listens."""
    try:
        connection = pymysql.connect(host="127.0.0.1", port=port, user="root")
    except pymysql.err.OperationalError:
        return False
    with connection, connection.cursor() as cursor:
        for name in databases:
            cursor.execute(f"CREATE DATABASE `{name}`")
    return True


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    """Run a server; give the URL of its database `shop`."""
    if not PROGRAM:
        pytest.skip(MISSING)
    with (
        tempfile.TemporaryDirectory(prefix="etl-mariadb-") as folder,
        server(Path(folder), "shop") as url,
    ):
        yield f"{url}shop"
