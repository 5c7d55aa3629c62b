"""The demo from start to end: start everything, use it as a person would, compare, stop."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from demo import platform_services as services
from demo import report, trace
from demo.client import Client, run_all
from demo.errors import DemoError
from demo.facts import arrived, differences, from_ledger
from demo.options import Options
from demo.processes import Fleet
from demo.summary import Summary, summarize
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver, ReceiverError
from etl_telemetry.viewer.store import Store

KILL = ("manage.py", "incident", "kill_worker")
"""What must not cost a count: the delivery is lost, and the message is delivered again."""
SETTLE = 60.0
"""Seconds that the last figures may take to arrive."""


def run(options: Options, console: Console) -> int:
    """Run the demo; return 0 when ledger and telemetry agree, else 1.

    Raises:
        DemoError: Something is in the way of the demo.
    """
    begin = time.monotonic()
    (options.data / "logs").mkdir()
    with telemetry(options) as (query, endpoint), platform(options, endpoint=endpoint) as fleet:
        console.print(f"Data, store and logs: {options.data}", style="dim")
        with console.status("Starting: broker, database, observer, worker, beat, web"):
            services.start_broker(fleet, options)
            seeded = services.prepare(fleet)
            services.start(fleet, options)
        with Client(services.web_address(options)) as client:
            client.sign_in(seeded["username"], seeded["password"])
            trace_id = run_all(client, console, fleet)
        with console.status("Killing a worker's process in the middle of a task"):
            console.print(fleet.run("kill_worker", services.PYTHON, *KILL))
        with console.status("Waiting for the last figures to arrive"):
            _settle(fleet, query)
        if options.once:
            fleet.stop()  # From here on nothing moves: both sides have said their last word.
        summary = _summarize(fleet, query)
        example = trace.find(query, trace_id) if trace_id else None
        report.show(console, summary, example)
        console.print(f"Took {time.monotonic() - begin:.0f} s.", style="dim")
        if options.report:
            facts = {**summary.as_json(), "example": example.as_json() if example else None}
            options.report.write_text(json.dumps(facts, indent=2) + "\n")
        if not options.once:
            _serve(fleet, console, options, seeded)
    return 1 if summary.differences else 0


@contextmanager
def telemetry(options: Options) -> Iterator[tuple[Query, str]]:
    """Receive OTLP; yield how to ask what arrived, and the endpoint to send to.

    Raises:
        DemoError: The port was taken meanwhile.
    """
    with Store(options.data / "telemetry.sqlite3") as store:
        receiver = Receiver(store, port=options.otlp_port)
        try:
            receiver.start()
        except ReceiverError as error:
            raise DemoError(str(error)) from error
        try:
            yield Query(store.path), receiver.address
        finally:
            receiver.stop()


@contextmanager
def platform(options: Options, *, endpoint: str) -> Iterator[Fleet]:
    """Yield the place to start the services in; stop them whatever happens."""
    environment = services.environment(options, endpoint=endpoint)
    fleet = Fleet(folder=services.FOLDER, logs=options.data / "logs", environment=environment)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    try:
        yield fleet
    finally:
        # A second Ctrl-C must not leave half of the services behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        fleet.stop()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _settle(fleet: Fleet, query: Query) -> None:
    """Wait until nothing is under way and both sides agree, or as long as is reasonable."""
    deadline, before = time.monotonic() + SETTLE, None
    while time.monotonic() < deadline:
        fleet.check()
        seen = arrived(query)
        if seen == before:  # To look into the ledger is a process; not while more arrives.
            ledger = services.read_ledger(fleet)
            unfinished = any(ledger["unfinished"].values())
            if not unfinished and not differences(from_ledger(ledger), seen):
                return
        before = seen
        time.sleep(0.5)


def _summarize(fleet: Fleet, query: Query) -> Summary:
    facts = arrived(query)
    ledger = from_ledger(services.read_ledger(fleet))
    return summarize(query, facts=facts, differences=differences(ledger, facts))


def _serve(fleet: Fleet, console: Console, options: Options, seeded: dict[str, str]) -> None:
    address = services.web_address(options)
    console.rule("Serving until Ctrl-C")
    console.print(
        f"platform   {address}/  user {seeded['username']}, password {seeded['password']}"
    )
    console.print(f"dashboard  {address}/monitoring/  the same user")
    console.print(f"telemetry  http://127.0.0.1:{options.otlp_port}/api/v1/traces")
    console.print(f"logs       {options.data / 'logs'}")
    try:
        while True:
            fleet.check()
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping.")
