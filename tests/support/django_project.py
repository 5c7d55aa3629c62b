"""A fresh Django project that adopted us by one line, its commands and its servers.

`from support.django_project import project` gives the fixture.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store
from support.broker import free_port

PATIENCE = 120.0
"""Seconds after which a wait fails: a guard against hangs on a busy machine, no measure."""
ADOPTED = """
INSTALLED_APPS += ["etl_telemetry.django"]
"""
COMMAND = """
import logging
from django.core.management.base import BaseCommand

class Command(BaseCommand):
    def handle(self, *args, **options):
        logging.getLogger("shop").warning("loaded")
"""
TESTS = """
from django.test import TestCase

class LoginTest(TestCase):
    def test_login(self):
        self.assertEqual(self.client.get("/admin/login/").status_code, 200)
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A project in a folder of its own, and the receiver that it exports to."""

    folder: Path
    """Where `manage.py` is."""
    receiver: Receiver
    """Where its telemetry arrives."""
    query: Query
    """Ask what has arrived."""

    def append(self, path: str, text: str) -> None:
        """Add text to a file of the project, which may be new."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a") as file:
            file.write(text)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of its processes."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "error,ignore::ResourceWarning",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.address,
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "ETL_TELEMETRY_DEADLINE": "30",
            **more,
        }

    def manage(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end."""
        return self.run(sys.executable, "manage.py", *words, **env)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the project's folder to its end; a hang is an error."""
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @contextmanager
    def serving(
        self, *words: str, stop: signal.Signals = signal.SIGINT, **env: str
    ) -> Iterator[str]:
        """Run a server, `{port}` in its words replaced; give its address while it serves."""
        port = free_port()
        log = self.folder / "server.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [word.format(port=port) for word in words],
                cwd=self.folder,
                env=self.environment(**env),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(lambda: process.poll() is not None or listens(port), log.read_text)
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            # The group: the reloader's child serves.
            os.killpg(process.pid, stop)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one project for all tests of this process; each gets a copy."""
    folder = tmp_path_factory.mktemp("fresh")
    django_admin = [sys.executable, "-m", "django", "startproject", "shop", str(folder)]
    subprocess.run(django_admin, check=True, timeout=PATIENCE)
    return folder


@pytest.fixture
def project(fresh: Path, tmp_path: Path) -> Iterator[Project]:
    """Give a project with one line more than `django-admin startproject` made."""
    folder = tmp_path / "project"
    shutil.copytree(fresh, folder)
    with Store(tmp_path / "received.db") as store, Receiver(store) as receiver:
        made = Project(folder, receiver, Query(store.path))
        made.append("shop/settings.py", ADOPTED)
        yield made


def get(url: str) -> int:
    """Send one request; return the status."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:  # noqa: S310 - ours
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections; sends nothing, so nothing is counted."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], object], describe: Callable[[], object]) -> None:
    """Wait until something is so; fail with a description where it never is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, describe()
        time.sleep(0.05)
