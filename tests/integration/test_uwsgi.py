"""uWSGI runs no fork hooks by default (trap 12); its workers deliver all the same."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from textwrap import dedent

import pytest

from support.process import environment, receiving

APP = """
    import logging
    import time
    from opentelemetry import metrics
    from etl_telemetry import setup_telemetry, span
    counter = metrics.get_meter("test").create_counter("requests")
    setup_telemetry(instrumentations=())
    with span("in the master"):
        counter.add(100)
    def application(environ, start_response):
        with span("in a worker"):
            counter.add(1)
            logging.getLogger("app").warning("served")
        start_response("200 OK", [])
        return Body()
    class Body:
        def __iter__(self):
            yield b"ok"
        def close(self):
            time.sleep(0.2)  # The answer is out, and the worker still busy.
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _get(url: str, deadline: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - http, ours
                assert response.read(2) == b"ok"  # Not to the end: that comes after `close()`.
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_preloaded_workers_deliver_everything_once(tmp_path: Path) -> None:
    """Two workers forked from a master that counted before: their own sums, all their spans.

    uWSGI runs no Python threads in its master, so what the master itself emitted
    while it loaded the application is not exported. TERM must end workers gracefully: with
    `die-on-term` one that is still closing its last request runs no exit hooks and loses
    what waits (docs: process lifecycle).
    """
    pytest.importorskip("pyuwsgi", reason="pyuwsgi has no wheel for this platform")
    (tmp_path / "app.py").write_text(dedent(APP))
    port = _free_port()
    command = [
        *(sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()"),
        *("--http-socket", f"127.0.0.1:{port}", "--wsgi-file", str(tmp_path / "app.py")),
        *("--master", "--processes", "2", "--enable-threads", "--need-app"),
        *("--hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
    ]
    with receiving() as (receiver, query):
        server = subprocess.Popen(
            command, env=environment(receiver.address), cwd=tmp_path, stderr=subprocess.PIPE
        )
        try:
            deadline = time.monotonic() + 60
            for _ in range(20):
                _get(f"http://127.0.0.1:{port}/", deadline)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)
        assert [span.name for span in query.spans()] == ["in a worker"] * 20
        assert query.sum_latest("requests") == {(): 20}
        assert len(query.logs()) == 20
