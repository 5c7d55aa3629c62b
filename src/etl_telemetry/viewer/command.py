"""`etl-telemetry view`: run the receiver until told to stop."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from etl_telemetry.stopping import told_to_stop
from etl_telemetry.viewer.receiver import MAX_BODY, Receiver, ReceiverError, is_local
from etl_telemetry.viewer.schema import StoreError
from etl_telemetry.viewer.store import MAX_ROWS, Store

PORT = 4318
"""OTLP/HTTP's own port."""

_MAX_PORT = 65535
_UNUSABLE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add(
        "--port",
        type=_number(0, _MAX_PORT),
        default=PORT,
        help="port to listen on, 0 for any free one (default: %(default)s)",
    )
    add("--store", metavar="PATH", type=Path, help="SQLite file (default: a temporary one)")
    add(
        "--max-body",
        metavar="BYTES",
        type=_number(1, 2**30),
        default=MAX_BODY,
        help="bound of a request's body, before and after decompression (default: %(default)s)",
    )
    add(
        "--max-rows",
        metavar="N",
        type=_number(1, 10**9),
        default=MAX_ROWS,
        help="spans, log records and metric points to keep, each (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    try:
        with (
            told_to_stop() as stop,
            Store(options.store, max_rows=options.max_rows) as store,
            Receiver(
                store, host=options.host, port=options.port, max_body=options.max_body
            ) as receiver,
        ):
            _say(_greeting(receiver, store, options), sys.stdout)
            stop.wait()
            _say("Stopping.", sys.stdout)
    except (StoreError, ReceiverError) as error:
        _say(f"etl-telemetry view: {error}", sys.stderr)
        return _UNUSABLE
    return 0


def _say(text: str, stream: TextIO) -> None:
    """Write at once: whoever started us waits for the address."""
    stream.write(f"{text}\n")
    stream.flush()


def _greeting(receiver: Receiver, store: Store, options: argparse.Namespace) -> str:
    kept = store.path if options.store else f"{store.path} (temporary: use --store to keep it)"
    lines = [
        f"Receiving OTLP/HTTP on {receiver.address}",
        f"Store: {kept}",
        f"Questions: {receiver.address}/api/v1",
        "",
        "Point an application at it:",
        f"    export OTEL_EXPORTER_OTLP_ENDPOINT={receiver.address}",
        "    export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "",
        "Stop it with Ctrl-C.",
    ]
    if not is_local(options.host):
        lines.insert(0, f"Warning: {options.host} lets other machines read and write here.")
    return "\n".join(lines)


def _number(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds."""

    def read(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        if digits and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"must be a whole number from {least} to {most}, got {text[:40]!r}"
        )

    return read
