"""The example platform as a team runs it: PostgreSQL, Redis protocol, all of its services.

`examples/etl_platform` has to be on the path: its `demo` knows how to start and use the platform.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from demo import platform_services as services
from demo.client import Client, run_all
from demo.errors import DemoError
from demo.options import Options
from demo.processes import Fleet
from support import postgresql
from support.stack import ports
from support.stack.patience import eventually
from support.stack.startable import Startable

WEB_PORT = 8000
PAUSE = 2
"""Seconds between two looks: to look is a process, which takes the time of what it looks at."""
POOL = 4
"""Connections to the database that a process of the web server has at most."""
BY_BEAT = """
import json
from django_celery_beat.models import IntervalSchedule, PeriodicTask
PeriodicTask.objects.update(enabled=False)
second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
PeriodicTask.objects.create(
    name={name!r}, task="apps.pipelines.tasks.runs.start_scheduled_run", interval=second,
    one_off=True, kwargs=json.dumps({{"pipeline_name": {pipeline!r}}}),
)
"""


class Platform(Startable):
    """All services of the platform, sending OTLP over HTTP to an endpoint.

    with Platform(folder, endpoint=stack.collector.otlp_http) as platform:
        platform.run_all()
        platform.wait_until_quiet()
        platform.stop_services()     # the database goes on
        platform.ledger()            # what really happened
    """

    def __init__(
        self,
        folder: Path,
        *,
        endpoint: str,
        usual_ports: bool = False,
        variables: dict[str, str] | None = None,
    ) -> None:
        (folder / "logs").mkdir(parents=True)
        chosen = ports.choose({"web": WEB_PORT, "broker": 6379}, usual=usual_ports)
        self.options = Options(
            once=True, report=None, data=folder, temporary=False,
            web_port=chosen["web"], broker_port=chosen["broker"], otlp_port=0,
        )  # fmt: skip
        self.address = services.web_address(self.options)
        self.variables = {
            **services.environment(self.options, endpoint=endpoint),
            "CACHE_URL": f"redis://127.0.0.1:{chosen['broker']}/1",
            "ENVIRONMENT": "production",
            "BUILD_DATE": "2026-11-25",
            "ETL_TELEMETRY_SERVICE_VERSION": "2.1.0",
            **(variables or {}),
        }
        self.logs = folder / "logs"
        self.login: dict[str, Any] = {}
        self._closing = ExitStack()

    def start(self) -> Self:
        """Start everything; return when the web server answers."""
        # As root the wheel opens every folder above its data: never those of the other engines.
        folder = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="etl-postgresql-"))
        server = postgresql.server(Path(folder))
        self.variables["DATABASE_URL"] = self._closing.enter_context(server)
        self.fleet = Fleet(folder=services.FOLDER, logs=self.logs, environment=self.variables)
        self._closing.callback(self.fleet.stop)
        services.start_broker(self.fleet, self.options)
        self.login = services.prepare(self.fleet)
        services.start(self.fleet, self.options, pool=POOL)
        return self

    def stop_services(self) -> None:
        """Stop all but the database, each with time for an orderly end."""
        self.fleet.stop()

    def stop(self) -> None:
        """Stop everything."""
        self._closing.close()

    def client(self) -> Client:
        """Return a session that is signed in; close it, or use it in a `with` statement."""
        client = Client(self.address)
        client.sign_in(self.login["username"], self.login["password"])
        return client

    def try_to_sign_in(self, username: str, password: str) -> None:
        """Sign in with what the platform refuses."""
        with Client(self.address) as client, contextlib.suppress(DemoError):
            client.sign_in(username, password)
            raise AssertionError(f"{username} was let in")

    def run_all(self, *, show: bool = False) -> None:
        """Run every pipeline once, by the button of its page, and wait until they have ended."""
        with self.client() as client:
            run_all(client, Console(quiet=not show, stderr=True), self.fleet)

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` and return what it printed."""
        return self.fleet.run(arguments[0], services.PYTHON, "manage.py", *arguments)

    def run_by_beat(self, pipeline: str) -> None:
        """Let beat start one run of the pipeline, at its next tick; return when it is there.

        From then on beat starts nothing more: no hourly run begins while the services are stopped.
        """
        self.manage("shell", "-c", BY_BEAT.format(name=f"once {pipeline}", pipeline=pipeline))

        def started() -> bool:
            self.fleet.check()
            runs = self.ledger()["run_list"]
            return any(run["trigger"] == "schedule" and run["pipeline"] == pipeline for run in runs)

        eventually(f"Beat starts a run of {pipeline}", started, every=PAUSE)

    def ledger(self) -> dict[str, Any]:
        """Return what really happened, with one entry for each run."""
        told: dict[str, Any] = json.loads(self.manage("ledger", "--json", "--runs"))
        return told

    def wait_until_quiet(self) -> None:
        """Wait until no run and no task is under way and every run is reported."""

        def quiet() -> bool:
            self.fleet.check()
            return not any(self.ledger()["unfinished"].values())

        eventually("The platform gets quiet", quiet, every=PAUSE)
