"""Where the Collector listens: on localhost, unless another address is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest

from support import configurations
from support.stack import Collector
from support.stack.product import PRODUCT


def listening(engine: Collector) -> set[tuple[str, int]]:
    """Return where the Collector's process listens: addresses and ports."""
    sockets = psutil.Process(engine.process_id).net_connections(kind="inet")
    return {
        (each.laddr.ip, each.laddr.port) for each in sockets if each.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize("file", configurations.BASES)
def test_nothing_listens_beyond_this_machine(file: str, tmp_path: Path) -> None:
    """Without any setting the Collector's process has no socket that another machine reaches.

    Only the numbers of the ports are others here: somebody may use the usual ones.
    """
    engine, text = Collector(tmp_path), (PRODUCT / file).read_text()
    for name, usual in Collector.PORTS.items():
        text = re.sub(rf"\b{usual}\b", str(engine.ports[name]), text)
    (tmp_path / file).write_text(text)
    engine.configs = [tmp_path / file]
    engine.variables = {"ETL_QUEUE_DIRECTORY": str(engine.queue)}
    with engine:
        assert listening(engine) == {("127.0.0.1", port) for port in engine.expected_ports()}


def test_only_what_is_asked_to_listens_beyond_this_machine(tmp_path: Path) -> None:
    """One variable opens one port; the others stay where they are."""
    engine = Collector(tmp_path)
    asked = engine.ports["grpc"]
    engine.variables["ETL_OTLP_GRPC_ENDPOINT"] = f"0.0.0.0:{asked}"
    with engine:
        open_to_all = {port for address, port in listening(engine) if address != "127.0.0.1"}
    assert open_to_all == {asked}
