"""The host project of `tests/django/host`, in processes of its own.

Django stays out of the test process: other tests configure it in their own way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HOST = Path(__file__).parents[1] / "django" / "host"
PATIENCE = 240.0
"""Seconds after which a process is taken for hung; no measure of speed."""


@dataclass(frozen=True, slots=True)
class Host:
    """The host with databases of its own."""

    folder: Path
    """Where its SQLite files are."""
    databases: Mapping[str, str] = field(default_factory=lambda: {"default": "host.sqlite3"})
    """Alias -> URL of a PostgreSQL database, or name of a SQLite file."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its processes, besides the inherited ones."""

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of its processes."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "HOST_FOLDER": str(self.folder),
            "HOST_DATABASES": json.dumps(dict(self.databases)),
            "PYTHONPATH": os.pathsep.join([str(HOST), str(HOST.parents[1])]),
            "PYTHONUNBUFFERED": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "ETL_TELEMETRY_DEADLINE": "0.2",
            **self.variables,
            **more,
        }

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the host's folder to its end, warnings as errors; a hang is an error."""
        return subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", *words],
            cwd=HOST,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def script(self, text: str, **variables: str) -> str:
        """Run a script after `django.setup()`; it must succeed. Return what it printed."""
        done = self.run("-c", f"import django; django.setup()\n{text}", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def migrate(self, **variables: str) -> None:
        """Make the tables in every database."""
        for alias in self.databases:
            done = self.run(
                "manage.py", "migrate", "--run-syncdb", "--verbosity", "0", "--database", alias,
                **variables,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr

    def suite(self, *names: str, **variables: str) -> None:
        """Run the tests of each `suite/suite_<name>.py`; all must pass, and some must be there.

        Hypothesis makes fewer examples where the suite runs on several databases and this is not
        SQLite with aware times.
        """
        plain = "//" not in self.databases["default"] and variables.get("HOST_USE_TZ") != "false"
        examples = "100" if plain else "40"
        done = self.run(
            *("-m", "pytest", "-c", "pytest.ini"), *(f"suite/suite_{name}.py" for name in names),
            **{"OTEL_SDK_DISABLED": "true", "HOST_EXAMPLES": examples, **variables},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout, done.stdout
        assert " skipped" not in done.stdout, done.stdout
