"""One run of the whole stack for all tests that only ask: what happened, and what each backend has.

Tests that stop, kill or swap an engine have a `stack` of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.pages import REPOSITORY
from support.stack import Stack, ending, eventually, losing
from support.stack.ask.otlp import Span

PLATFORM = REPOSITORY / "examples" / "etl_platform"
if str(PLATFORM) not in sys.path:
    # Appended, so that nothing of the platform wins over an installed package.
    sys.path.append(str(PLATFORM))

if TYPE_CHECKING:
    from support.stack.platform import Platform

TIMEOUT = 900
"""Seconds of the watchdog here: engines and the platform start within a test's time."""
BY_BEAT = "delays-ua"
"""The pipeline that beat starts, besides the button: by itself once a month."""

STRICT = {
    "ETL_TELEMETRY_SLOW_REQUEST_ROUTES": "accounts/login/=0.001",
    "ETL_TELEMETRY_HIGH_QUERY_COUNT_ROUTES": "accounts/login/=1",
}
"""Limits that somebody who signs in is over, however fast the machine is."""
ASKS_FOR_EACH = "/admin/accounts/user/1/change/"
"""A page that sends a query for each membership of a user: the N+1 of Django's admin."""
FAILS = "/api/error"
"""A request that fails, on purpose."""
HELD = "flights-yv-lga"
"""The pipeline whose runs keep the workers busy: the last of its kind."""
SEEN = (
    *(f'{name}{{pipeline_name="{HELD}"}}' for name in (
        "pipeline_active_run_age_seconds", "step_rows_done", "step_heartbeat_age_seconds",
        "step_rows_expected",
    )),
    "celery_queue_oldest_message_age_seconds", "celery_queue_consumers > 0",
    "celery_messages_unacked", "celery_beat_next_due_timestamp_seconds",
)  # fmt: skip
"""Series that end with what they are about; those of an earlier run may still be there."""

LONGEST = ("test_full_disk.py", "test_losses.py", "test_collector.py", "test_swap.py",
           "test_kafka.py", "test_losses_seen.py", "test_agent_gateway.py", "test_up.py",
           "test_alerting.py", "test_kafka_secured.py", "test_single_node.py")  # fmt: skip
"""Files that begin first, so that no process has a long one left when the others are through;
the proof, which many files share, begins with test_collector.py."""

Counts = dict[tuple[str, ...], float]


def pytest_configure() -> None:
    """Stop the engines also when the tests are told to end by SIGTERM, or nox has ended."""
    ending.in_good_order()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test of this folder that names no timeout of its own more time; order files."""
    here = Path(__file__).parent
    begin = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: begin.get(item.path, len(begin)))
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, let all files that ask `proof` share a process, so that it is one.

    Not by `xdist_group`: pytest 9.2 ignores it (pytest-xdist issue 1386).
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return shared_by(nodeid.partition("::")[0])

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@cache
def shared_by(file: str) -> str:
    """Return what the tests of a file share: the `proof`, or a stack of the file's own."""
    return "proof" if "proof: " in (REPOSITORY / file).read_text() else file


@dataclass(frozen=True)
class Proof:
    """Everything ran once and has ended; the engines still run, so that they can be asked."""

    stack: Stack
    """The engines."""
    ledger: dict[str, Any]
    """What `manage.py ledger --json --runs` said when all services of the platform had stopped."""
    audit_file: list[dict[str, Any]]
    """The records in the platform's own `audit.log`."""
    log_file: list[dict[str, Any]]
    """The records in the platform's own `application.log`."""
    begin: float
    """Unix time before anything ran."""
    busy: float
    """Unix time at which runs were active, messages waited, and all of it could be seen."""
    end: float
    """Unix time when everything had arrived."""
    held: str = HELD
    """The pipeline whose runs were active then."""

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Return the runs of the ledger."""
        return list(self.ledger["run_list"])

    def run_of(self, pipeline: str) -> dict[str, Any]:
        """Return the one run that somebody started of a pipeline by its button."""
        (found,) = (
            run for run in self.runs if (run["pipeline"], run["trigger"]) == (pipeline, "manual")
        )
        return found

    def metric(self, expression: str, *labels: str) -> Counts:
        """Return what Prometheus has at the end, by labels; a value of 0 is left out."""
        found = self.stack.prometheus.ask.values(expression, *labels, at=self.end)
        return {key: value for key, value in found.items() if value}

    def tasks(self) -> Counter[tuple[str, str, str]]:
        """Return the ledger's deliveries by pipeline, type and status."""
        return Counter(
            {
                (pipeline, type_, status): number
                for pipeline, types in self.ledger["tasks"].items()
                for type_, statuses in types.items()
                for status, number in statuses.items()
            }
        )

    @cached_property
    def traces(self) -> dict[str, list[Span]]:
        """Return all traces of the platform that Jaeger has, by id."""
        ask = self.stack.jaeger.ask
        (service,) = ask.services()
        return ask.search(service, start=self.begin, end=self.end, limit=100_000)

    def root_of(self, run: dict[str, Any]) -> Span:
        """Return the root of a run's trace, which has only one."""
        (root,) = (span for span in self.traces[run["trace_id"]] if not span.parent_span_id)
        return root


@pytest.fixture(scope="session")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    """Start the stack, run every pipeline of the platform, stop the platform; then ask."""
    from support.stack.platform import Platform

    folder = tmp_path_factory.mktemp("stack")
    if "PYTEST_XDIST_WORKER" in os.environ:
        # In the folder of all processes: a second proof would be minutes for nothing.
        (tmp_path_factory.getbasetemp().parent / "the-one-proof").mkdir()
    begin = time.time()
    stack = Stack(folder)
    # What is lost is lost by another Collector: nothing of the platform may be.
    (folder / "losing").mkdir()
    nowhere = f"{stack.prometheus.address('http')}/nowhere"
    loser = losing.collector(folder / "losing", nowhere=nowhere)
    # For the dashboard of the telemetry itself; elsewhere tests read the page by themselves.
    pages = (f"127.0.0.1:{each.ports['metrics']}" for each in (stack.collector, loser))
    stack.prometheus.scrape("collector", *pages)
    with stack, loser:
        losing.lose(loser)
        endpoint = stack.collector.otlp_http
        with Platform(folder / "platform", endpoint=endpoint, variables=STRICT) as platform:
            busy = _use(platform, stack)
            platform.stop_services()
            ledger = platform.ledger()
            audit, records = (_lines(platform, name) for name in ("audit.log", "application.log"))
        stack.settle()
        end = time.time()
        loser.stop()
        yield Proof(stack, ledger, audit, records, begin, busy, end)


def _lines(platform: Platform, name: str) -> list[dict[str, Any]]:
    text = (platform.options.data / "logs" / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def _use(platform: Platform, stack: Stack) -> float:
    """Let happen what can happen; return when most of it was under way.

    Somebody signs in wrongly, runs every pipeline and looks at pages, of which one fails. The
    workers are too busy for what waits, a run is cancelled, a worker killed, and beat starts a run.
    """
    platform.try_to_sign_in("mallory", "a guess")
    platform.run_all()
    with platform.client() as client:
        assert [client.look_at(page) for page in (ASKS_FOR_EACH, FAILS)] == [200, 500]
    busy = _be_busy(platform, stack)
    platform.manage("incident", "revoke")
    platform.manage("incident", "kill_worker")
    platform.run_by_beat(BY_BEAT)
    platform.wait_until_quiet()
    return busy


def _be_busy(platform: Platform, stack: Stack) -> float:
    """Keep the workers busy until it is seen; return when that was."""
    platform.manage("incident", "busy")

    def seen() -> float:
        now = time.time()
        return all(stack.prometheus.ask.query(each, at=now) for each in SEEN) and now

    busy = eventually("what is under way is seen", seen)
    platform.manage("incident", "relief")
    return busy


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack of its own for a file whose tests stop, kill or change its engines."""
    with Stack(tmp_path_factory.mktemp("own")) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """Give the file's stack, with all of its engines up."""
    for engine in running.engines:
        if not engine.is_alive:
            engine.start()
    return running
