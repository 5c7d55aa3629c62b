"""How a message crosses the socket: sections, cut into datagrams that the socket takes whole.

A message is a list of sections, most of them OTLP. A datagram says who sent it, which of
the sender's messages it belongs to, and which part of that it is. So a message arrives once,
or not at all: also where its sender was killed within it, or sent a datagram twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
"""Version of the format; a reader ignores what has another one."""
MAX_PAYLOAD = 60_000
"""Bytes of a message in one datagram: far below what a socket's buffer takes at once."""
MAX_DATAGRAM = 65_536
"""Bytes that a reader is ready for."""
MAX_PARTS = 4_096
"""Datagrams of one message: some 245 MB."""

_MAGIC = b"ET"
_HEADER = struct.Struct("!2sBxIQHH")
_SECTION = struct.Struct("!BI")


class Kind(IntEnum):
    """What a section holds."""

    MARK = 1
    """Bytes that whoever began the relay understands."""
    RESOURCE = 2
    """Resource of the spans and records of this message: OTLP metrics without a metric."""
    SPANS = 3
    """`ExportTraceServiceRequest`."""
    RECORDS = 4
    """`ExportLogsServiceRequest`."""
    METRICS = 5
    """`ExportMetricsServiceRequest`, all of it deltas."""
    ECHO = 6
    """The reader's own question how far it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One datagram."""

    pid: int
    """Process that sent it."""
    sequence: int
    """Number of the message, from 1, of this process."""
    index: int
    """Which part of the message, from 0."""
    count: int
    """Parts that the message has."""
    payload: bytes
    """The part itself."""


_KINDS = frozenset(Kind)
Section = tuple[Kind, bytes]


def datagrams(sections: Iterable[Section], *, pid: int, sequence: int) -> list[bytes]:
    """Return the datagrams of one message; none where it is too long.

    >>> [len(datagram) for datagram in datagrams([(Kind.MARK, b"begun")], pid=7, sequence=1)]
    [30]
    """
    body = b"".join(_SECTION.pack(kind, len(data)) + data for kind, data in sections)
    pieces = [body[at : at + MAX_PAYLOAD] for at in range(0, len(body), MAX_PAYLOAD)] or [b""]
    if len(pieces) > MAX_PARTS:
        return []
    return [
        _HEADER.pack(_MAGIC, VERSION, pid, sequence, index, len(pieces)) + piece
        for index, piece in enumerate(pieces)
    ]


def read(datagram: bytes) -> Part | None:
    """Return what `datagrams` wrote, or None where it is something else."""
    if len(datagram) < _HEADER.size:
        return None
    magic, version, pid, sequence, index, count = _HEADER.unpack_from(datagram)
    if magic != _MAGIC or version != VERSION or not 0 <= index < count <= MAX_PARTS:
        return None
    return Part(pid, sequence, index, count, datagram[_HEADER.size :])


def sections(message: bytes) -> Iterator[Section]:
    """Read the sections of a whole message; one of a kind that is not known is left out.

    Raises `ValueError` where it is cut off.
    """
    at = 0
    while at < len(message):
        if at + _SECTION.size > len(message):
            raise ValueError("a message of the relay ends within the head of a section")
        kind, size = _SECTION.unpack_from(message, at)
        at += _SECTION.size
        if at + size > len(message):
            raise ValueError("a message of the relay ends within a section")
        if kind in _KINDS:
            yield Kind(kind), message[at : at + size]
        at += size


class Inbox:
    """Put the messages of one process together."""

    __slots__ = ("_last", "_parts", "_sequence")

    def __init__(self) -> None:
        self._last = 0
        self._sequence = 0
        self._parts: list[bytes] = []

    def add(self, part: Part) -> bytes | None:
        """Take a datagram; return the message that it completes, once."""
        if part.sequence <= self._last:
            return None  # Sent twice: its sender was interrupted before it could note it.
        if part.sequence != self._sequence:
            self._sequence, self._parts = part.sequence, []
        if part.index != len(self._parts):
            return None
        self._parts.append(part.payload)
        if len(self._parts) < part.count:
            return None
        self._last = part.sequence
        message, self._parts = b"".join(self._parts), []
        return message
