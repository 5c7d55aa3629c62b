"""Run a Python script as a process of its own against a receiver in this one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store

# Closing a requests session leaves its sockets to the garbage collector (urllib3).
WARNINGS = ("-W", "error", "-W", "ignore::ResourceWarning")


@contextmanager
def receiving() -> Iterator[tuple[Receiver, Query]]:
    """Start a receiver with an empty store; give it and the questions one can ask it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "telemetry.db"
        with Store(path) as store, Receiver(store) as receiver:
            yield receiver, Query(path)


def environment(address: str | None, **more: str) -> dict[str, str]:
    """Return the environment of a child: ours, its exporter pointed at `address`."""
    own = {"OTEL_SERVICE_NAME": "child", "PYTHONUNBUFFERED": "1", **more}
    if address is not None:
        own["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
    return {**os.environ, **own}


def run(
    script: str,
    address: str | None = None,
    *,
    timeout: float = 300,
    as_file: bool = False,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run `script` to its end; a hang is an error. Spawned children need it `as_file`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.py"
        path.write_text(dedent(script))
        return subprocess.run(
            [sys.executable, *WARNINGS, *([path] if as_file else ["-c", dedent(script)])],
            env=environment(address, **env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
