"""What the user may choose, checked before anything starts."""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.errors import DemoError

WEB_PORT, OTLP_PORT = 8000, 4318
MINIMUM = (3, 11)


@dataclass(frozen=True, slots=True)
class Options:
    """One start of the demo."""

    once: bool
    """Stop after the report instead of serving until Ctrl-C."""
    report: Path | None
    """File for the report as JSON, or None."""
    data: Path
    """Folder for database, store, landing zone and logs."""
    temporary: bool
    """Whether the folder goes at the end; it stays when something went wrong."""
    web_port: int
    """Port of the web server."""
    otlp_port: int
    """Port of the viewer's OTLP receiver."""
    broker_port: int
    """Port of the broker."""


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line and make sure that the demo can run here.

    Raises:
        DemoError: The interpreter is too old, a port is taken, a path cannot be written.
    """
    check_interpreter(sys.version_info[:2])
    given = _parser().parse_args(arguments)
    # Nobody has to find the addresses of a demo that stops by itself.
    web = 0 if given.web_port is None and given.once else given.web_port or WEB_PORT
    otlp = 0 if given.otlp_port is None and given.once else given.otlp_port or OTLP_PORT
    return Options(
        once=given.once,
        report=_writable_file(given.report) if given.report else None,
        web_port=_free_port(web, option="--web-port"),
        otlp_port=_free_port(otlp, option="--otlp-port"),
        broker_port=_free_port(given.broker_port, option="--broker-port"),
        data=_writable_folder(given.data),  # Last: nothing is left behind when the rest is wrong.
        temporary=given.data is None,
    )


def check_interpreter(version: tuple[int, ...]) -> None:
    """Refuse a Python that the package does not support.

    Raises:
        DemoError: It is older than 3.11.
    """
    if version < MINIMUM:
        found = ".".join(map(str, version))
        raise DemoError(
            f"The demo needs Python 3.11 or newer, this is {found} ({sys.executable}). "
            "Make the environment anew with a newer one: python3.11 -m venv .venv"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nox -s demo --", description=__doc__)
    add = parser.add_argument
    add("--once", action="store_true", help="stop after the report")
    add("--report", type=Path, metavar="FILE", help="write the report as JSON, too")
    add("--data", type=Path, metavar="FOLDER", help="new or empty folder (default: temporary)")
    add("--web-port", type=int, metavar="PORT", help=f"default {WEB_PORT}; with --once any free")
    add("--otlp-port", type=int, metavar="PORT", help=f"default {OTLP_PORT}; with --once any free")
    add("--broker-port", type=int, default=0, metavar="PORT", help="default: any free one")
    return parser


def _free_port(port: int, *, option: str) -> int:
    """Return the port, or a free one for 0.

    Raises:
        DemoError: Somebody else listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise DemoError(
                f"Port {port} cannot be used: {error}. Stop what listens there, or choose "
                f"another one: nox -s demo -- {option} {port % 60000 + 1}"
            ) from error
        return int(probe.getsockname()[1])


def _writable_file(path: Path) -> Path:
    """Make sure that a file can be written when the demo ends.

    Raises:
        DemoError: It cannot.
    """
    existed = path.exists()
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise DemoError(
            f"The report cannot be written to {path}: {error}. Choose another --report FILE."
        ) from error
    if not existed:
        path.unlink()
    return path.resolve()


def _writable_folder(path: Path | None) -> Path:
    """Make the demo's folder.

    Raises:
        DemoError: It cannot be written, or has files of somebody else.
    """
    try:
        if path is None:
            return Path(tempfile.mkdtemp(prefix="etl-platform-demo-"))
        path.mkdir(parents=True, exist_ok=True)
        (path / "logs").mkdir()
        (path / "logs").rmdir()
        found = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise DemoError(
            f"The demo cannot write its data: {error}. Choose a folder: "
            "nox -s demo -- --data FOLDER"
        ) from error
    if found:
        raise DemoError(
            f"The folder {path} is not empty ({found[0]}). The demo compares everything that it "
            "finds with what arrives, so choose a new folder, or none for a temporary one."
        )
    return path.resolve()
