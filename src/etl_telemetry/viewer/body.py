"""Read a request's body within bounds: length, chunks, compression."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from etl_telemetry.viewer.http import HttpError, Request

_CHUNK_LINE = 1024


def read(request: Request, *, max_body: int) -> bytes:
    """Return the decompressed body.

    Args:
        request: A request whose body was not read yet.
        max_body: Bound in bytes, for what is sent and again for what it decompresses to.

    Raises:
        HttpError: 400 malformed, 411 no length, 413 too large, 415 unknown compression.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("gzip", "deflate", "identity", ""):
        raise HttpError(
            415,
            f"Content-Encoding must be gzip, deflate or identity, got {encoding[:40]!r}",
            Accept_Encoding="gzip, deflate, identity",
        )
    raw = _raw(request, max_body)
    return raw if encoding in ("identity", "") else _inflate(raw, encoding, max_body)


def _raw(request: Request, max_body: int) -> bytes:
    """Return the body as sent."""
    lengths = set(request.headers.get_all("Content-Length", []))
    transfer = request.headers.get("Transfer-Encoding", "").strip().lower()
    if transfer:
        if transfer != "chunked" or lengths:
            # Both headers at once is how requests are smuggled past a proxy (RFC 9112, 6.1).
            raise HttpError(400, "Transfer-Encoding must be chunked, without Content-Length")
        return _chunks(request.stream, max_body)
    if not lengths:
        raise HttpError(411, "the request must have a Content-Length or be chunked")
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdigit()):
        raise HttpError(400, "Content-Length must be one decimal number")
    # Compared as text first: int() refuses more than 4300 digits.
    if len(text.lstrip("0")) > 18 or int(text) > max_body:
        raise too_large(max_body)
    return _exactly(request.stream, int(text))


def too_large(max_body: int) -> HttpError:
    """Return the answer to a body past the bound."""
    return HttpError(
        413,
        f"the body must have at most {max_body} bytes, before and after decompression; "
        "send smaller batches or raise --max-body",
    )


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise HttpError(400, f"the body ended after {len(data)} of {size} bytes")
    return data


def _chunks(stream: BinaryIO, max_body: int) -> bytes:
    """Return a chunked body (RFC 9112, 7.1); extensions and trailers are ignored."""
    body = bytearray()
    while size := _chunk_size(_line(stream)):
        if len(body) + size > max_body:
            raise too_large(max_body)
        body += _exactly(stream, size)
        if _line(stream):
            raise HttpError(400, "a chunk must end with a line break")
    for _ in range(100):
        if not _line(stream):
            return bytes(body)
    raise HttpError(400, "a chunked body must have at most 100 trailers")


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline(_CHUNK_LINE)
    if not line.endswith(b"\n"):
        raise HttpError(400, "the chunked body ended early")
    return line.rstrip(b"\r\n")


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not 0 < len(digits) <= 15 or digits.strip(b"0123456789abcdefABCDEF"):
        raise HttpError(400, f"a chunk must begin with its size, got {digits[:20]!r}")
    return int(digits, 16)


def _inflate(data: bytes, encoding: str, max_body: int) -> bytes:
    """Decompress at most `max_body` bytes, so that a bomb costs no more than that."""
    wbits = 31 if encoding == "gzip" else zlib.MAX_WBITS
    if encoding == "deflate" and not _has_zlib_header(data):
        wbits = -zlib.MAX_WBITS  # Some clients send the bare stream (RFC 9110, 8.4.1.2).
    body = bytearray()
    rest = data
    try:
        while rest:
            inflater = zlib.decompressobj(wbits)
            body += inflater.decompress(rest, max_body + 1 - len(body))
            if len(body) > max_body:
                raise too_large(max_body)
            if not inflater.eof:
                raise HttpError(400, f"the {encoding} body ended early")
            rest = inflater.unused_data  # A gzip file may have several members.
    except zlib.error as error:
        raise HttpError(400, f"cannot decompress the body as {encoding}: {error}") from error
    return bytes(body)


def _has_zlib_header(data: bytes) -> bool:
    return len(data) >= 2 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
