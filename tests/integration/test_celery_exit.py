"""How long a worker takes to end, where nobody takes what it exports."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from etl_telemetry.config import Config
from support.broker import broker, broker_server, free_port
from support.celery_matrix import ONE_PROCESS
from support.celery_worker import Received, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

DEADLINE = Config().deadline
BUSY = 2.5
"""How many deadlines a busy machine may take for one. The stock set-up takes seven to fifteen."""
PUBLISH = """
from support.celery_app import work
for number in range(3):
    work.delay(number)
"""


@contextmanager
def hung() -> Iterator[str]:
    """Give the address of a server that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def seconds_to_end(broker: str, received: Received, *options: str, **variables: str) -> float:
    """Let a worker do three tasks, ask it to end, and return how long that took."""
    with worker(broker, received, *options, variables=variables) as running:
        run_script(PUBLISH, broker, received, SET_UP_IN="nowhere")
        running.wait_for(lambda: running.log.count("succeeded in") == 3, "the last task")
        begin = time.monotonic()
        assert running.stop() == 0
        return time.monotonic() - begin


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "options", [pytest.param(("--pool=prefork", "-c2"), id="prefork"), *ONE_PROCESS]
)
def test_a_worker_ends_within_the_deadline_where_nothing_can_be_exported(
    options: tuple[str, ...], broker: str, received: Received
) -> None:
    """Refused or not answered: it takes one deadline longer than without telemetry, at most."""
    without = seconds_to_end(broker, received, *options, OTEL_SDK_DISABLED="true")
    refused = f"http://127.0.0.1:{free_port()}"
    with hung() as silent:
        longer = {
            what: seconds_to_end(broker, received, *options, OTEL_EXPORTER_OTLP_ENDPOINT=address)
            - without
            for what, address in (("refused", refused), ("hung", silent))
        }
    allowed = BUSY * DEADLINE + without  # How long it takes anyway tells how busy the machine is.
    assert max(longer.values()) <= allowed, (without, longer)
