"""A relay that has a name: for processes that it did not fork.

Who may enter the directory of the socket may hand telemetry over, so it belongs to one user, and
both sides look: at the directory, and at who is at the other end (`SO_PEERCRED`).
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path

_HELLO = b"ET\x01"
_TIMEOUT = 0.25
"""Seconds to wait for a relay's answer, once, at set-up."""
_CREDENTIALS = struct.Struct("3i")
_BACKLOG = 128


def listen(path: Path) -> socket.socket | None:
    """Return a socket that others find by its path; None where another relay has it already.

    Makes the directory where there is none. Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check(path.parent)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        if not _bound(listening, path):
            listening.close()
            return None
        path.chmod(0o600)
        listening.listen(_BACKLOG)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


def accept(listening: socket.socket, service: str) -> socket.socket | None:
    """Take in who asks, if it is of our user, and tell it for which service this relay is."""
    connection, _ = listening.accept()
    connection.settimeout(0)
    if peer(connection) != os.geteuid():
        connection.close()
        return None
    with suppress(OSError):  # It has gone already: that is read from the connection.
        connection.send(_HELLO + service.encode())
    return connection


def connect(path: Path, service: str) -> socket.socket | None:
    """Return a connection to the relay of this service, or None where there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _check(path.parent)
        connection.settimeout(_TIMEOUT)
        connection.connect(str(path))
        # The metrics of one service are not those of another.
        if peer(connection) == os.geteuid() and connection.recv(1_024) == _HELLO + service.encode():
            connection.settimeout(0)
            return connection
    except OSError:
        pass
    connection.close()
    return None


def peer(connection: socket.socket) -> int:
    """Return the user at the other end."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(found)
    return int(user)


def _bound(listening: socket.socket, path: Path) -> bool:
    try:
        listening.bind(str(path))
    except OSError:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:  # Left behind by one that was killed.
                path.unlink()
                listening.bind(str(path))
                return True
        return False
    return True


def _check(directory: Path) -> None:
    found = directory.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(
            f"the directory of relay_socket must belong to the user of this process alone "
            f"(mode 0700), got user {found.st_uid} and mode {stat.S_IMODE(found.st_mode):04o} of "
            f"{directory}: choose another one, or chmod 700 it"
        )
