"""Bodies: length, chunks, compression, and bounds on both sides of it."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.viewer.body import Body
from etl_telemetry.viewer.refusal import HttpError
from support.patience import PATIENT

TOO_LARGE = (
    "the body must have at most 100 bytes, before and after decompression; "
    "send smaller batches or raise --max-body"
)


def body(data: bytes, **headers: str) -> Body:
    """Return a body as it comes over the wire."""
    found = Message()
    for name, value in headers.items():
        found[name.replace("_", "-")] = value
    return Body(found, io.BytesIO(data))


def refusal(data: bytes, **headers: str) -> tuple[int, str]:
    """Return how a body of at most 100 bytes is refused."""
    with pytest.raises(HttpError) as caught:
        body(data, **headers).read(at_most=100)
    return caught.value.code, str(caught.value)


def with_length(data: bytes, encoding: str = "identity") -> Body:
    """Return a body with the right length."""
    return body(data, Content_Length=str(len(data)), Content_Encoding=encoding)


@PATIENT
@given(st.binary(max_size=100))
def test_every_encoding_gives_the_same_body_back(data: bytes) -> None:
    """Plain, gzip, zlib and bare deflate: what comes out is what the client put in."""
    bare = zlib.compressobj(wbits=-15)
    packed = bare.compress(data) + bare.flush()
    assert with_length(data).read(at_most=100) == data
    assert with_length(gzip.compress(data), "GZIP").read(at_most=200) == data
    assert with_length(zlib.compress(data), "deflate").read(at_most=200) == data
    assert with_length(packed, "deflate").read(at_most=200) == data


@PATIENT
@given(st.binary(max_size=100), st.lists(st.integers(1, 30), max_size=10))
def test_chunks_are_joined(data: bytes, sizes: list[int]) -> None:
    """A chunked body reads as the whole, whatever the sizes, and leaves nothing on the wire."""
    wire, rest = b"", data
    for size in [*sizes, 100]:
        part, rest = rest[:size], rest[size:]
        wire += b"%x;ext=1\r\n%s\r\n" % (len(part), part) if part else b""
    stream = io.BytesIO(wire + b"0\r\nTrailer: x\r\n\r\nNEXT")
    headers = Message()
    headers["Transfer-Encoding"] = "Chunked"
    chunked = Body(headers, stream)
    assert (chunked.whole, chunked.read(at_most=100), chunked.whole) == (False, data, True)
    assert stream.read() == b"NEXT"


def test_a_gzip_body_may_have_several_members() -> None:
    """Members are joined, as gzip says, but not without bound: each one costs a copy."""
    member = gzip.compress(b"x")
    assert with_length(member * 16, "gzip").read(at_most=1000) == b"x" * 16
    with pytest.raises(HttpError, match=r"^the gzip body must have at most 16 members$"):
        with_length(member * 17, "gzip").read(at_most=1000)


def test_a_body_is_bounded_before_and_after_decompression() -> None:
    """A length, chunks or a bomb past the bound: 413."""
    bomb = gzip.compress(bytes(50_000))
    assert len(bomb) < 100
    assert refusal(b"", Content_Length="101") == (413, TOO_LARGE)
    assert refusal(b"", Content_Length="9" * 5000) == (413, TOO_LARGE)
    assert refusal(b"65\r\n", Transfer_Encoding="chunked") == (413, TOO_LARGE)
    assert refusal(bomb, Content_Length=str(len(bomb)), Content_Encoding="gzip") == (413, TOO_LARGE)
    assert with_length(gzip.compress(bytes(100)), "gzip").read(at_most=100) == bytes(100)


def test_a_bomb_is_not_unpacked() -> None:
    """It is refused before it takes more memory than a body may."""
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(10**6)) for _ in range(50)) + packer.flush()
    bombed = with_length(bomb, "gzip")
    tracemalloc.start()
    try:
        with pytest.raises(HttpError):
            bombed.read(at_most=100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_a_body_needs_a_length() -> None:
    """No length and no chunks: 411."""
    assert refusal(b"") == (411, "the request must have a Content-Length or be chunked")


def test_a_wrong_length_is_refused() -> None:
    """Not a number, two different ones, or more than was sent: 400."""
    message = "Content-Length must be one decimal number"
    for text in ("-1", "+1", "1_0", "x", "²", ""):
        assert refusal(b"", Content_Length=text) == (400, message)
    headers = Message()
    headers["Content-Length"] = "1"
    headers["Content-Length"] = "2"
    with pytest.raises(HttpError, match=f"^{message}$"):
        Body(headers, io.BytesIO(b"ab")).read(at_most=100)
    assert refusal(b"abc", Content_Length="5") == (400, "the body ended after 3 of 5 bytes")


def test_a_request_cannot_be_smuggled() -> None:
    """Both length and chunks, or an unknown transfer coding: 400."""
    message = "Transfer-Encoding must be chunked, without Content-Length"
    assert refusal(b"", Transfer_Encoding="chunked", Content_Length="3") == (400, message)
    assert refusal(b"", Transfer_Encoding="gzip, chunked") == (400, message)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", "the chunked body must consist of lines and chunks"),
        (b"x\r\n", "a chunk must begin with its size, got b'x'"),
        (b"-1\r\n", "a chunk must begin with its size, got b'-1'"),
        (b"1" * 16 + b"\r\n", "a chunk must begin with its size, got b'1111111111111111'"),
        (b"5\r\nab", "the body ended after 2 of 5 bytes"),
        (b"2\r\nabc\r\n", "a chunk must end with a line break"),
        (b"0\r\n" + b"a: b\r\n" * 100, "a chunked body must have fewer than 100 trailers"),
    ],
)
def test_a_broken_chunk_is_refused(wire: bytes, message: str) -> None:
    """Whatever is wrong with the chunks: 400, and what it was."""
    assert refusal(wire, Transfer_Encoding="chunked") == (400, message)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_broken_compression_is_refused(encoding: str) -> None:
    """Garbage and a cut stream: 400."""
    whole = gzip.compress(b"x" * 50) if encoding == "gzip" else zlib.compress(b"x" * 50)
    cut = whole[:-3]
    headers = {"Content_Encoding": encoding}
    assert refusal(cut, Content_Length=str(len(cut)), **headers) == (
        400,
        f"the {encoding} body ended early",
    )
    code, message = refusal(b"\xff\xff\xff", Content_Length="3", **headers)
    assert (code, message.partition(":")[0]) == (400, f"cannot decompress the body as {encoding}")


def test_an_unknown_compression_is_refused() -> None:
    """415 names what there is, in the message and in the header that RFC 9110 has for it."""
    with pytest.raises(HttpError) as caught:
        body(b"", Content_Length="0", Content_Encoding="zstd").read(at_most=100)
    assert (caught.value.code, str(caught.value), caught.value.headers) == (
        415,
        "Content-Encoding must be one of gzip, deflate, identity, got 'zstd'",
        {"Accept-Encoding": "gzip, deflate, identity"},
    )


def test_it_knows_whether_something_is_left_on_the_wire() -> None:
    """A connection can go on only after a body that was read, or that is not there."""
    assert body(b"").whole
    assert body(b"", Content_Length="0").whole
    unread = body(b"abc", Content_Length="3")
    assert not unread.whole
    unread.read(at_most=100)
    assert unread.whole
