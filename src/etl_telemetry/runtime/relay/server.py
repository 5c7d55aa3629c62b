"""The parent's side: one thread that reads what children hand over, and sees them end.

No object of this file is used by a child. The thread may hold any of its locks at a fork:
the child forgets all of it, and closes its copies of the descriptors.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason
from etl_telemetry.runtime.relay import named, wire
from etl_telemetry.runtime.relay.wire import Kind

_POLL = 0.5
"""Seconds between looks at children where the system cannot tell of their end by itself."""
_SOON = 0.05
_REST = 0.02
"""Seconds between two reads. A reader that waits is woken by each message, and takes the CPU from
whoever sends it; one that rests takes many at once. The socket holds what comes meanwhile."""
_EMPTY, _MORE, _CLOSED = object(), object(), object()
_ALL = 8_000_000
"""Bytes to read before looking elsewhere: more than a socket's buffer holds."""


class Receiver(Protocol):
    """Who gets what children hand over; called on the thread of the server only."""

    def message(self, pid: int, sections: list[tuple[Kind, bytes]]) -> None:
        """Take a message."""

    def ended(self, pid: int, status: int | None) -> None:
        """Take note that a child has ended, after all that it handed over.

        `status` is its exit code, or minus the signal that killed it; None: not known.
        """

    def tick(self) -> float | None:
        """Do what is due; return after how many seconds to ask again, None: no need to."""


class Server:
    """Read one socket."""

    def __init__(
        self, reading: socket.socket, echo: Callable[[bytes], bool], receiver: Receiver
    ) -> None:
        """`echo` sends a datagram into the socket that this one reads."""
        self._socket = reading
        self._echo = echo
        self._receiver = receiver
        self._listening: socket.socket | None = None
        self._service = ""
        self._connections: list[socket.socket] = []
        self._inboxes: dict[int, wire.Inbox] = {}
        self._children: dict[int, int | None] = {}
        """Descriptors by process id; None where there is none to have."""
        self._asked: dict[bytes, threading.Event] = {}
        self._ending: float | None = None
        self._thread = threading.Thread(target=self._work, name="etl-telemetry-relay", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def listen(self, listening: socket.socket, service: str) -> None:
        """Read also from those who connect there and belong to this service; before `start`."""
        self._listening, self._service = listening, service

    def settle(self, end: float) -> bool:
        """Wait until all that was handed over by now has been read."""
        token, done = os.urandom(8), threading.Event()
        self._asked[token] = done
        datagram = wire.datagrams([(Kind.ECHO, token)], pid=0, sequence=1)[0]
        while not self._echo(datagram):  # Full, so it is being read.
            if time.monotonic() > end or not self._thread.is_alive():
                self._asked.pop(token, None)
                return False
            time.sleep(_SOON)
        return done.wait(max(0.0, end - time.monotonic()))

    def finish(self, end: float) -> bool:
        """Read until all children have ended, `end` at the latest; tell whether they had."""
        self._ending = end
        self._echo(wire.datagrams([(Kind.ECHO, b"")], pid=0, sequence=1)[0])  # Wake it up.
        self._thread.join(max(0.0, end - time.monotonic()) + _SOON)
        if not self._thread.is_alive():
            for mine in self._sockets():
                mine.close()
        return not self._children

    def after_fork_in_child(self) -> None:
        """Close the copies of what belongs to the parent."""
        for mine in self._sockets():
            mine.close()
        for descriptor in list(self._children.values()):
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)

    def _work(self) -> None:
        while True:
            with guard.absorb("relaying"):
                if self._once():
                    return

    def _once(self) -> bool:
        """Wait, read, look after children; tell whether it is over."""
        due = self._receiver.tick()
        ended = self._wait(due)
        empty = self._read()
        # What a dead child had handed over was in the socket before it was found dead.
        for pid, status in ended.items():
            self._inboxes.pop(pid, None)
            self._receiver.ended(pid, status)
        if self._ending is None:
            if not self._asked:
                time.sleep(_REST)
            return False
        return (empty and not self._children) or time.monotonic() > self._ending

    def _wait(self, due: float | None) -> dict[int, int | None]:
        """Wait for anything; return who has ended, and how."""
        poll = select.poll()
        for mine in self._sockets():
            poll.register(mine, select.POLLIN)
        pids = {fd: pid for pid, fd in self._children.items() if fd is not None}
        for descriptor in pids:
            poll.register(descriptor, select.POLLIN)
        unwatched = [pid for pid, fd in self._children.items() if fd is None]
        limits = [due, _POLL if unwatched else None, _SOON if self._ending is not None else None]
        known = [limit for limit in limits if limit is not None]
        ready = poll.poll(min(known) * 1_000 if known else None)
        ended = {pids[fd]: _status(fd) for fd, _ in ready if fd in pids}
        for pid in unwatched:
            if not _exists(pid):
                ended[pid] = None
        for pid in ended:
            watched = self._children.pop(pid)
            if watched is not None:
                os.close(watched)
        return ended

    def _sockets(self) -> list[socket.socket]:
        listening = [] if self._listening is None else [self._listening]
        return [self._socket, *listening, *self._connections]

    def _read(self) -> bool:
        """Read what is there; tell whether it was all there is."""
        self._accept()
        empty = self._read_from(self._socket) is not _MORE
        for connection in list(self._connections):
            found = self._read_from(connection)
            if found is _CLOSED:
                self._connections.remove(connection)
                connection.close()
            empty = empty and found is not _MORE
        return empty

    def _accept(self) -> None:
        while self._listening is not None:
            try:
                connection = named.accept(self._listening, self._service)
            except (
                OSError
            ):  # Nobody, or no descriptor left: those who are connected are still read.
                return
            if connection is not None:
                self._connections.append(connection)

    def _read_from(self, reading: socket.socket) -> object:
        read = 0
        while read < _ALL:  # Whoever has ended had its datagrams before these.
            try:
                datagram = reading.recv(wire.MAX_DATAGRAM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return _EMPTY
            except OSError:
                return _CLOSED
            if not datagram:
                return _CLOSED
            read += len(datagram)
            with guard.absorb("reading what a child handed over"):
                self._take(datagram)
        return _MORE

    def _take(self, datagram: bytes) -> None:
        part = wire.read(datagram)
        if part is None:
            guard.drop(DropReason.INVALID_VALUE, detail="a datagram that is not of the relay")
            return
        if part.pid == 0:
            for _, token in wire.sections(part.payload):
                done = self._asked.pop(token, None)
                if done is not None:
                    done.set()
            return
        if part.pid not in self._children:
            self._children[part.pid] = _watch(part.pid)
        message = self._inboxes.setdefault(part.pid, wire.Inbox()).add(part)
        if message:
            self._receiver.message(part.pid, list(wire.sections(message)))


def _watch(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends, where there can be one."""
    opener = getattr(os, "pidfd_open", None)  # Linux.
    if opener is None:
        return None
    try:
        descriptor: int = opener(pid)
    except OSError:  # It has ended and was reaped, or the system is too old.
        return None
    return descriptor


def _status(descriptor: int) -> int | None:
    """Return how the process of a descriptor ended, and leave it for its parent to reap."""
    try:
        found = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except OSError:
        return None  # Reaped already, or the child of a child.
    if found is None:
        return None
    killed = found.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
    return -found.si_status if killed else found.si_status


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
