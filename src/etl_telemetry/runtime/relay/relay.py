"""Which side of a relay this process is on, and what it does there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.runtime.collecting import Postponed
from etl_telemetry.runtime.current import Current, Signals
from etl_telemetry.runtime.gate import Gate
from etl_telemetry.runtime.relay import decode, named
from etl_telemetry.runtime.relay.decode import RelayedSpan
from etl_telemetry.runtime.relay.handing import build_handing, encoded_resource
from etl_telemetry.runtime.relay.outbox import Outbox
from etl_telemetry.runtime.relay.server import Server
from etl_telemetry.runtime.relay.store import Store
from etl_telemetry.runtime.relay.wire import Kind

_BUFFER = 1_048_576
"""Bytes asked for between the processes; the system may grant less (`net.core.wmem_max`)."""


Decode = Callable[[bytes], RelayedSpan | None]
"""Reads what `Relay.encoded` wrote in the process that a mark comes from."""


class Watcher(Protocol):
    """Who understands marks, and what the end of a child means. Called on the relay's thread."""

    def mark(self, pid: int, mark: bytes, decoded: Decode) -> None:
        """Take a mark, before the spans of its message; `decoded` reads a span within it."""

    def spans(self, pid: int, spans: list[RelayedSpan]) -> list[RelayedSpan]:
        """Return those that may be exported now."""

    def ended(self, pid: int, status: int | None) -> None:
        """Take note of the end of a child (`server.Receiver.ended`)."""

    def tick(self) -> float | None:
        """Do what is due; return after how many seconds to ask again, None: no need to."""

    def close(self) -> None:
        """Nothing comes any more: judge what is open."""


class Relay:
    """The relay of a process tree: its receiver where it began, and a sender in each child."""

    def __init__(self, current: Current, *, joined: socket.socket | None = None) -> None:
        """Make the socket, or use one that was `joined`; raises `OSError` where there is none."""
        self.store = Store()
        self.outbox: Outbox | None = None
        """What this process hands over with; None in the process that relays."""
        self.is_child = joined is not None
        """Whether this process hands over, instead of exporting."""
        self.is_joined = joined is not None
        """Whether the relay is a process that did not fork this one, and may end before it."""
        self._current = current
        self._watcher: Watcher | None = None
        self._begun = False
        self._path: Path | None = None
        self._gate: Gate | None = None
        self._server: Server | None = None
        if joined is not None:
            self._sending = joined
        else:
            reading, self._sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._server = Server(reading, self._echo, self)
        self._sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)

    def begin(self, watcher: Watcher | None = None) -> None:
        """Begin to read; `watcher` learns of the children's marks and ends."""
        if self._server is not None and not self._begun:
            self._begun = True
            # Now: what children hand over at this process' end comes too late to begin with it.
            self._current.get()
            self._watcher = watcher
            self._server.start()

    def listen(self, path: Path, service: str) -> bool:
        """Let others of this service join by a path, before `begin`; raises `OSError`.

        False where another relay listens there.
        """
        listening = None if self._server is None else named.listen(path)
        if listening is None or self._server is None:
            return False
        self._server.listen(listening, service)
        self._path = path
        return True

    # --- In a child ---

    def after_fork_in_child(self) -> None:
        """Become a sender."""
        self.is_child, self.outbox, self._gate, self._path = True, None, None, None
        server, self._server = self._server, None
        if server is not None:
            server.after_fork_in_child()

    def build(
        self,
        config: Config,
        resource: Resource,
        *,
        postponed: Postponed,
        populate: Callable[[MeterProvider], None],
        gone: Callable[[], None],
    ) -> Signals:
        """Return the SDK objects of a child; `gone` hears that its relay has ended."""

        def make_outbox(collect: Callable[[], bytes | None]) -> Outbox:
            return Outbox(
                self._sending,
                resource=encoded_resource(resource),
                queue_sizes=(config.span_queue_size, config.log_queue_size),
                collect=collect,
                gone=gone,
            )

        signals, self.outbox, self._gate = build_handing(
            config, postponed=postponed, populate=populate, make_outbox=make_outbox
        )
        self.outbox.greet()
        return signals

    def hold(self) -> None:
        """Keep what finishes from here on for one message (`Outbox.hold`)."""
        if self.outbox is not None:
            self.outbox.hold()

    def release(self, mark: bytes | None = None, *, measure: bool = False) -> None:
        """Hand over what was held (`Outbox.release`)."""
        if self.outbox is not None:
            self.outbox.release(mark, measure=measure)

    def encoded(self, span: object) -> bytes:
        """Return a span as it may leave the process, though it has not ended; empty for none."""
        if self._gate is None or not isinstance(span, ReadableSpan):
            return b""
        if span.context is None or not span.context.trace_flags.sampled:
            return b""
        return bytes(encode_spans([self._gate.clean(span)]).SerializeToString())

    # --- In the parent ---

    def leave(self) -> None:
        """Hand nothing over any more."""
        self._sending.close()

    def settle(self, end: float) -> bool:
        """Wait until what was handed over by now is with the exporters' queues."""
        return self._server is None or not self._begun or self._server.settle(end)

    def finish(self, end: float) -> None:
        """Take what the children hand over until they have ended, `end` at the latest."""
        server, self._server = self._server, None
        if server is None or not self._begun:
            return
        server.finish(end)
        self._sending.close()
        if self._path is not None:
            with suppress(OSError):  # It is made again by the next one.
                self._path.unlink(missing_ok=True)
                self._path.parent.rmdir()
        if self._watcher is not None:
            self._watcher.close()

    def message(self, pid: int, sections: list[tuple[Kind, bytes]]) -> None:
        """Take a message of a child (`server.Receiver`)."""
        signals = self._current.get()
        found = dict(sections)
        of = decode.resource(found.get(Kind.RESOURCE, b""))
        for kind, data in sections:
            if kind is Kind.MARK and self._watcher is not None:
                with guard.absorb("reading a mark of a child"):
                    self._watcher.mark(pid, data, partial(_span, of=of))
        with guard.absorb("relaying metrics"):
            if Kind.METRICS in found:
                self.store.add(found[Kind.METRICS], pid)
        if signals is None:
            return
        if Kind.SPANS in found and signals.spans is not None:
            with guard.absorb("relaying spans"):
                self._relay_spans(signals, pid, list(decode.spans(found[Kind.SPANS], of)))
        if Kind.RECORDS in found and signals.records is not None:
            with guard.absorb("relaying log records"):
                for record in decode.records(found[Kind.RECORDS], of):
                    signals.records.add(record)

    def ended(self, pid: int, status: int | None) -> None:
        """Take note of the end of a child (`server.Receiver`)."""
        self.store.end(pid)
        if self._watcher is not None:
            self._watcher.ended(pid, status)

    def tick(self) -> float | None:
        """Do what is due (`server.Receiver`)."""
        return None if self._watcher is None else self._watcher.tick()

    def export(self, span: ReadableSpan) -> None:
        """Export a span that came from a child, or should have."""
        signals = self._current.get()
        if signals is not None and signals.spans is not None:
            signals.spans.add(span)

    def _relay_spans(self, signals: Signals, pid: int, spans: list[RelayedSpan]) -> None:
        if self._watcher is not None:
            spans = self._watcher.spans(pid, spans)
        for span in spans:
            if signals.spans is not None:
                signals.spans.add(span)

    def _echo(self, datagram: bytes) -> bool:
        try:
            self._sending.send(datagram, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True


def _span(encoded: bytes, *, of: Resource) -> RelayedSpan | None:
    return next(decode.spans(encoded, of), None)
