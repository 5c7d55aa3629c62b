"""Jobs of compose.yaml: their own scripts, run by bash and curl against a stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

NEEDED = [
    pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is missing, the job needs it")
    for tool in ("bash", "curl")
]
"""Marks of a module whose tests run a job."""


class Quiet:
    """Before a handler: it has no log of its own."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Let a server answer."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(
    job: Mapping[str, Any], address: dict[str, str], *, mounted: str, there: str
) -> subprocess.CompletedProcess[str]:
    """Run the script of a job as its container would, with another address.

    `mounted` is what Compose mounts; `there` stands in its place.
    """
    (script,) = job["command"]
    # Compose turns `$$` into `$`.
    script = script.replace("$$", "$").replace(mounted, there)
    return subprocess.run(
        [shutil.which("bash") or "bash", *job["entrypoint"][1:], script],
        env=os.environ | address | {"no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
