"""Ports: free ones, and who listens on one."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil

LOWEST, HIGHEST = 15_000, 32_000
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
    found: set[int] = set()
    while len(found) < number:
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 -- not a secret
        if is_free(port):
            found.add(port)
    return list(found)


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
