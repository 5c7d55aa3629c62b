"""What a child hands over, in which messages, and what it does where there is no room."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from etl_telemetry import guard
from etl_telemetry.runtime.relay import decode, wire
from etl_telemetry.runtime.relay.outbox import Outbox
from etl_telemetry.runtime.relay.wire import Kind

NONE = decode.resource(b"")


def span(name: str, size: int = 0) -> ReadableSpan:
    """Return a finished span."""
    context = SpanContext(1, 2, is_remote=False)
    return ReadableSpan(
        name, context, resource=NONE, attributes={"text": "x" * size}, start_time=1, end_time=2
    )


class Ends:
    """An outbox with room for three spans, and who reads what it sends."""

    def __init__(self) -> None:
        self.reading, self.sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144)
        self.gone = 0
        self.measured: list[bytes | None] = []
        self.inbox = wire.Inbox()
        self.box = Outbox(
            self.sending,
            resource=b"",
            queue_sizes=(3, 3),
            collect=lambda: self.measured.pop(0) if self.measured else b"",
            gone=self.hear,
        )

    def hear(self) -> None:
        """Take note that the reader is gone."""
        self.gone += 1

    def messages(self) -> list[list[Any]]:
        """Read what has been sent: a list of what each message holds."""
        found: list[list[Any]] = []
        while True:
            try:
                part = wire.read(self.reading.recv(wire.MAX_DATAGRAM, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return found
            assert part is not None
            message = self.inbox.add(part)
            if message is not None:
                found.append([_told(kind, data) for kind, data in wire.sections(message)])


def _told(kind: Kind, data: bytes) -> object:
    if kind is Kind.SPANS:
        return [found.name for found in decode.spans(data, NONE)]
    return kind.name if kind is Kind.RESOURCE else data


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Give both ends."""
    made = Ends()
    yield made
    made.reading.close()
    made.sending.close()


def test_what_finishes_is_sent_at_once(ends: Ends) -> None:
    """A kill a moment later takes nothing away."""
    ends.box.add_span(span("one"))
    ends.box.add_span(span("two"))
    assert ends.messages() == [["RESOURCE", ["one"]], ["RESOURCE", ["two"]]]


def test_the_end_of_a_delivery_is_one_message(ends: Ends) -> None:
    """Its mark first, so that a reader knows what the spans belong to."""
    ends.box.hold()
    ends.box.add_span(span("task"))
    ends.box.tick()
    assert ends.messages() == []
    ends.measured.append(b"metrics")
    ends.box.release(b"ended", measure=True)
    assert ends.messages() == [[b"ended", b"metrics", "RESOURCE", ["task"]]]


def test_a_hold_that_nobody_releases_costs_delay_only(ends: Ends) -> None:
    """At the latest with the end of the process all of it goes."""
    ends.box.hold()
    ends.box.add_span(span("forgotten"))
    assert ends.box.drain(time.monotonic() + 60)
    assert ends.messages() == [["RESOURCE", ["forgotten"]]]


def test_what_finishes_while_another_hands_over_is_not_left_behind(ends: Ends) -> None:
    """It finds the lock taken, and whoever holds it looks again."""

    class Ending(ReadableSpan):
        """A span that ends another one while it is encoded, as a destructor may."""

        @property
        def kind(self) -> Any:
            if not inner:
                inner.append(True)
                ends.box.add_span(span("inner"))
            return super().kind

    inner: list[bool] = []
    ends.box.add_span(
        Ending("outer", SpanContext(1, 3, is_remote=False), resource=NONE, start_time=1, end_time=2)
    )
    assert ends.messages() == [["RESOURCE", ["outer"]], ["RESOURCE", ["inner"]]]


def test_the_end_waits_for_what_another_thread_is_handing_over(ends: Ends) -> None:
    """It is in no queue any more, and not sent yet: nothing is through."""
    packing, go = threading.Event(), threading.Event()

    def collect() -> bytes:
        packing.set()
        assert go.wait(60)
        return b"metrics"

    ends.box._collect = collect
    other = threading.Thread(target=ends.box.release, args=(b"ended",), kwargs={"measure": True})
    other.start()
    assert packing.wait(60)
    assert not ends.box._left()
    assert not ends.box.drain(time.monotonic() + 0.05)
    assert ends.messages() == []
    go.set()
    assert ends.box.drain(time.monotonic() + 60)
    assert ends.messages() == [[b"ended", b"metrics", "RESOURCE"]]
    other.join()


def test_metrics_that_must_not_be_collected_now_are_collected_later(ends: Ends) -> None:
    """A destructor within the SDK may end a span, but not take the SDK's locks."""
    ends.measured += [None, b"metrics"]
    ends.box.release(measure=True)
    assert ends.messages() == []
    ends.box.add_span(span("next"))
    assert ends.messages() == [[b"metrics", "RESOURCE", ["next"]]]


def test_a_full_socket_keeps_what_there_is_room_for_and_counts_the_rest(ends: Ends) -> None:
    """Nothing waits; when there is room again all that was kept goes, metrics too, each once."""
    before = guard.drops().get("queue_full", 0)
    sent = 0
    while not ends.box._waiting:
        ends.box.add_span(span(f"{sent}", 50_000))
        sent += 1
    for number in range(5):
        ends.box.add_span(span(f"late {number}", 50_000))
    ends.measured.append(b"metrics")
    ends.box.release(measure=True)
    assert not ends.box.drain(time.monotonic())
    assert ends.measured == [b"metrics"]
    assert guard.drops()["queue_full"] - before == 2
    found = ends.messages()
    assert [m[1] for m in found] == [[f"{n}"] for n in range(sent - 1)]
    while not ends.box.drain(time.monotonic()):
        found += ends.messages()
    found += ends.messages()
    assert found[sent - 1 :] == [
        ["RESOURCE", [f"{sent - 1}"]],
        [b"metrics", "RESOURCE", ["late 2", "late 3", "late 4"]],
    ]


def test_a_reader_that_is_gone_is_told_of_once_and_what_is_lost_is_counted(ends: Ends) -> None:
    """Nothing raises."""
    before = guard.drops().get("not_delivered", 0)
    ends.reading.close()
    for number in range(3):
        ends.box.add_span(span(f"{number}"))
    ends.box.release(b"ended", measure=True)
    assert not ends.box.drain(time.monotonic() + 60)
    assert ends.gone == 1
    assert guard.drops()["not_delivered"] - before == 3
