"""Ports: free ones, and who listens on one.

A port is chosen when an engine is made and taken when it starts, perhaps minutes later, and again
after each stop. So it is given to one engine only: no process gets the ports of another one's
blocks, and none gives one away twice.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

LOWEST, HIGHEST = 15_000, 32_000
BLOCK = 200
"""So many ports belong to one process, until it ends; then it takes another block."""
"""Below the ports that the system gives to clients (32768 and up on Linux).

A client that tries again and again to reach a stopped server on a port of *that* range is one day
given this very port for its own end, connects to itself, and the server cannot start again.
"""


def choose(usual_ones: Mapping[str, int], *, usual: bool) -> dict[str, int]:
    """Return a free port for each name: the usual one where it is wanted and free."""
    others = free(len(usual_ones))
    return {
        name: port if usual and is_free(port) else other
        for (name, port), other in zip(usual_ones.items(), others, strict=True)
    }


def free(number: int) -> list[int]:
    """Return ports on which nobody listens, each one once."""
    return [next(_ours) for _ in range(number)]


def given() -> Iterator[int]:
    """Return free ports, each one once, which no other process of the tests gets.

    Raises:
        RuntimeError: All blocks belong to processes that run.
    """
    folder = Path(tempfile.gettempdir()) / f"etl-telemetry-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    blocks = list(range(LOWEST, HIGHEST, BLOCK))
    random.shuffle(blocks)
    locks = []  # Open as long as this process: then the system takes its locks away.
    for block in blocks:
        lock = (folder / str(block)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        locks.append(lock)
        yield from filter(is_free, range(block, block + BLOCK))
    raise RuntimeError(f"No port from {LOWEST} to {HIGHEST} is left: see who locks {folder}/*.")


_ours = given()
"""The ports of this process."""


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port of the loopback address, and of all."""
    for host in ("127.0.0.1", "0.0.0.0"):  # noqa: S104 -- closed at once
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def of_process(process_id: int) -> set[int]:
    """Return the ports on which a process or one of its descendants listens."""
    found: set[int] = set()
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found.update(_listening(each))
    return found


def _listening(process: psutil.Process) -> Iterable[int]:
    connections = process.net_connections(kind="tcp")
    return [each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN]
