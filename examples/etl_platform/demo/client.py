"""Use the platform over HTTP as a person with a browser would: sign in, press buttons, look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Self

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.errors import DemoError
from demo.processes import Fleet

TIMEOUT = 60
STUCK = 180.0
"""Seconds without any run ending after which something must be wrong."""
SHOWN = "airports"
"""Kind of the pipeline whose trace is shown: it calls an HTTP API and is refused now and then."""


class Client:
    """A signed-in session."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.trust_env = False  # A proxy of the developer is not for our own server.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def sign_in(self, username: str, password: str) -> None:
        """Sign in by the form.

        Raises:
            DemoError: The platform did not let us in.
        """
        login = "/accounts/login/"
        self._get(login)
        answer = self._post(login, {"username": username, "password": password})
        if answer.status_code != HTTPStatus.FOUND:
            raise DemoError(f"Signing in as {username} answered {answer.status_code}, not 302.")

    def pipelines(self) -> list[dict[str, Any]]:
        """List the pipelines that the user may see."""
        found: list[dict[str, Any]] = self._get("/api/pipelines").json()["pipelines"]
        return found

    def start_run(self, pipeline: str) -> str:
        """Press the pipeline's button; return the run's id.

        Raises:
            DemoError: The platform refused.
        """
        answer = self._post(f"/pipelines/{pipeline}/run", {})
        if answer.status_code != HTTPStatus.FOUND:
            raise DemoError(f"Starting {pipeline} answered {answer.status_code}, not 302.")
        return answer.headers["Location"].rstrip("/").rpartition("/")[2]

    def look_at(self, path: str) -> int:
        """Open a page; return how it answered."""
        return self._session.get(self._address + path, timeout=TIMEOUT).status_code

    def active_runs(self) -> set[str]:
        """Return the ids of the runs that have not ended."""
        return {run["id"] for run in self._get("/api/runs?active=1").json()["runs"]}

    def run(self, run_id: str) -> dict[str, Any]:
        """Tell about one run."""
        found: dict[str, Any] = self._get(f"/api/runs/{run_id}").json()
        return found

    def _get(self, path: str) -> requests.Response:
        answer = self._session.get(self._address + path, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer

    def _post(self, path: str, form: dict[str, str]) -> requests.Response:
        token = self._session.cookies.get("csrftoken") or ""
        return self._session.post(
            self._address + path,
            data={**form, "csrfmiddlewaretoken": token},
            allow_redirects=False,
            timeout=TIMEOUT,
        )


def run_all(client: Client, console: Console, fleet: Fleet) -> str | None:
    """Run every pipeline once, stage by stage; return the trace id of one of the runs."""
    pipelines = client.pipelines()
    stages = Counter(pipeline["stage"] for pipeline in pipelines)
    shown = None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {
            stage: progress.add_task(f"Runs of stage {stage}", total=number, start=False)
            for stage, number in sorted(stages.items())
        }
        for stage, bar in bars.items():
            progress.start_task(bar)
            started: set[str] = set()
            for pipeline in pipelines:
                if pipeline["stage"] == stage:
                    started.add(run_id := client.start_run(pipeline["name"]))
                    shown = run_id if pipeline["kind"] == SHOWN else shown
            for ended in _ended(client, started, fleet):
                progress.update(bar, completed=ended)
    return (client.run(shown)["trace_id"] or None) if shown else None


def _ended(client: Client, started: set[str], fleet: Fleet) -> Iterator[int]:
    """Yield how many of these runs have ended, until all have.

    Raises:
        DemoError: None of them ended for a long time, or a process died.
    """
    last, moved = -1, time.monotonic()
    while last < len(started):
        fleet.check()
        ended = len(started - client.active_runs())
        yield ended
        if ended > last:
            last, moved = ended, time.monotonic()
        elif time.monotonic() - moved > STUCK:
            raise DemoError(
                f"No run has ended for {STUCK:g} s; {len(started) - ended} are still active. "
                "The worker's log may tell why."
            )
        time.sleep(0.3)
