"""Alertmanager."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from support.engines import locate
from support.stack.ask import http
from support.stack.engine import Engine
from support.stack.product import PRODUCT


class Alertmanager(Engine):
    """An Alertmanager with the product's configuration, or another `config`."""

    name: ClassVar[str] = "alertmanager"
    PORTS: ClassVar[Mapping[str, int]] = {"http": 9093}
    config: Path = PRODUCT / "alertmanager" / "alertmanager.yml"
    """Its configuration: set another one before it starts."""

    def command(self) -> list[str]:
        """Return how it is started; it forms no cluster."""
        return [
            str(locate("alertmanager")),
            f"--config.file={self.config}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.ports['http']}",
            "--cluster.listen-address=",
        ]

    def is_ready(self) -> bool:
        """Say whether it takes alerts."""
        return http.answers(f"{self.address('http')}/-/ready")
