"""Read a request's body within bounds: length, chunks, compression."""

from __future__ import annotations

import zlib
from email.message import Message as Headers
from typing import Protocol

from etl_telemetry.viewer.refusal import HttpError

ENCODINGS = ("gzip", "deflate", "identity")

_MAX_LINE = 1024
_MAX_TRAILERS = 100
_MAX_DIGITS = 15
"""Of a length. More is too much for any bound, and int() refuses thousands of digits."""
_MAX_MEMBERS = 16
"""Of a gzip body. Each one costs a copy of the rest, so that millions would take for ever."""
_METHOD, _CHECK = 8, 31
_HEX = b"0123456789abcdefABCDEF"


class Stream(Protocol):
    """What we need of a connection's buffered reader."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only at the end."""

    def readline(self, limit: int, /) -> bytes:
        """Return a line of at most `limit` bytes, with its line break."""


class Body:
    """The body of one request, to be read once."""

    def __init__(self, headers: Headers, stream: Stream) -> None:
        """Look at the headers; nothing is read yet."""
        self._stream = stream
        self._lengths = {str(value).strip() for value in headers.get_all("Content-Length", [])}
        self._transfer = str(headers.get("Transfer-Encoding", "")).strip().lower()
        self._encoding = str(headers.get("Content-Encoding", "")).strip().lower() or "identity"
        self.whole = not self._transfer and self._lengths <= {"0"}
        """Whether nothing of it is left on the wire, so that the next request can follow."""

    def read(self, *, at_most: int) -> bytes:
        """Return the decompressed body.

        Args:
            at_most: Bound in bytes, for what is sent and again for what it decompresses to.

        Raises:
            HttpError: 400 malformed, 411 no length, 413 too large, 415 unknown compression.
        """
        if self._encoding not in ENCODINGS:
            allowed = ", ".join(ENCODINGS)
            message = f"Content-Encoding must be one of {allowed}, got {self._encoding[:40]!r}"
            raise HttpError(415, message, Accept_Encoding=allowed)
        data = self._chunks(at_most) if self._transfer else self._exactly(self._length(at_most))
        self.whole = True
        if self._encoding == "identity":
            return data
        return _inflate(data, self._encoding, at_most)

    def _length(self, at_most: int) -> int:
        if not self._lengths:
            raise HttpError(411, "the request must have a Content-Length or be chunked")
        text = min(self._lengths)
        if len(self._lengths) > 1 or not (text.isascii() and text.isdigit()):
            raise HttpError(400, "Content-Length must be one decimal number")
        if len(text) > _MAX_DIGITS or int(text) > at_most:
            raise _too_large(at_most)
        return int(text)

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise HttpError(400, f"the body ended after {len(data)} of {size} bytes")
        return data

    def _chunks(self, at_most: int) -> bytes:
        """Return a chunked body (RFC 9112, 7.1); extensions and trailers are ignored."""
        if self._transfer != "chunked" or self._lengths:
            # Both headers at once is how requests are smuggled past a proxy (RFC 9112, 6.1).
            raise HttpError(400, "Transfer-Encoding must be chunked, without Content-Length")
        data = bytearray()
        while size := _chunk_size(self._line()):
            if len(data) + size > at_most:
                raise _too_large(at_most)
            data += self._exactly(size)
            if self._line():
                raise HttpError(400, "a chunk must end with a line break")
        for _ in range(_MAX_TRAILERS):
            if not self._line():
                return bytes(data)
        raise HttpError(400, f"a chunked body must have fewer than {_MAX_TRAILERS} trailers")

    def _line(self) -> bytes:
        line = self._stream.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise HttpError(400, "the chunked body must consist of lines and chunks")
        return line.rstrip(b"\r\n")


def _too_large(at_most: int) -> HttpError:
    return HttpError(
        413,
        f"the body must have at most {at_most} bytes, before and after decompression; "
        "send smaller batches or raise --max-body",
    )


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > _MAX_DIGITS or digits.strip(_HEX):
        raise HttpError(400, f"a chunk must begin with its size, got {digits[:20]!r}")
    return int(digits, 16)


def _inflate(data: bytes, encoding: str, at_most: int) -> bytes:
    """Decompress at most `at_most` bytes, so that a bomb costs no more than that."""
    wbits = zlib.MAX_WBITS | 16 if encoding == "gzip" else zlib.MAX_WBITS
    if encoding == "deflate" and not _has_zlib_header(data):
        wbits = -zlib.MAX_WBITS  # Some clients send the bare stream (RFC 9110, 8.4.1.2).
    plain = bytearray()
    rest = data
    try:
        for _ in range(_MAX_MEMBERS):
            if not rest:
                return bytes(plain)
            inflater = zlib.decompressobj(wbits)
            plain += inflater.decompress(rest, at_most + 1 - len(plain))
            if len(plain) > at_most:
                raise _too_large(at_most)
            if not inflater.eof:
                raise HttpError(400, f"the {encoding} body ended early")
            rest = inflater.unused_data  # A gzip body may have several members.
    except zlib.error as error:
        raise HttpError(400, f"cannot decompress the body as {encoding}: {error}") from error
    if rest:
        raise HttpError(400, f"the {encoding} body must have at most {_MAX_MEMBERS} members")
    return bytes(plain)


def _has_zlib_header(data: bytes) -> bool:
    """Tell zlib's header (RFC 1950, 2.2) from a bare stream."""
    return data[:1] != b"" and data[0] & 15 == _METHOD and int.from_bytes(data[:2]) % _CHECK == 0
