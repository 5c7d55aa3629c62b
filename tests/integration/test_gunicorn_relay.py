"""gunicorn's workers come and go; its master exports for them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.broker import free_port
from support.process import environment, receiving

PATIENCE = 120.0
APP = """
import logging, os, signal
from opentelemetry import metrics, trace
from etl_telemetry import setup_telemetry
setup_telemetry(service_name="web")
requests = metrics.get_meter("web").create_counter("web.requests")
def app(environ, start_response):
    with trace.get_tracer("web").start_as_current_span(environ["PATH_INFO"]):
        requests.add(1)
        logging.getLogger("web").warning("served")
    if environ["PATH_INFO"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def get(port: int, path: str) -> str:
    """Ask until the server answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError) as error:
            refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            if not refused or time.monotonic() > end:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_recycled_and_killed_workers_leave_one_series(
    preload: tuple[str, ...], tmp_path: Path
) -> None:
    """Each worker answers one request, one is killed within it: what had finished is there."""
    (tmp_path / "web.py").write_text(APP)
    conf = tmp_path / "gunicorn.conf.py"
    conf.write_text("from etl_telemetry.gunicorn import on_starting\n")
    port = free_port()
    with receiving() as (receiver, query):
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "web:app", "-b", f"127.0.0.1:{port}", "-w", "2",
             "--max-requests", "1", *preload],
            cwd=tmp_path,
            env=environment(receiver.address, OTEL_SERVICE_NAME="web"),
        )  # fmt: skip
        try:
            pids = {get(port, f"/{number}") for number in range(8)}
            with pytest.raises((urllib.error.URLError, ConnectionError)):
                get(port, "/die")
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        names = sorted(span.name for span in query.spans() if span.name.startswith("/"))
        assert names == [*(f"/{number}" for number in range(8)), "/die"]
        assert len([log for log in query.logs() if log.body == "served"]) == 9
        # The killed one had not handed its measurement over, but for a tick in between.
        assert query.sum_latest("web.requests")[()] in {8, 9}
        assert len(query.series("web.requests")) == 1
        assert len(pids) == 8
