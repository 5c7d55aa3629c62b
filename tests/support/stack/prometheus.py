"""Prometheus 3, which takes OTLP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from support.engines import locate
from support.stack.ask import http
from support.stack.ask.prometheus import PrometheusApi
from support.stack.engine import Engine
from support.stack.product import PRODUCT

FEATURES = (
    "exemplar-storage",
    "created-timestamp-zero-ingestion",
    "promql-extended-range-selectors",
)
FLAGS = ("--web.enable-otlp-receiver", f"--enable-feature={','.join(FEATURES)}")
"""What the product's `prometheus.yml` asks for."""


class Prometheus(Engine):
    """A Prometheus with the product's `prometheus.yml`, or another `config`."""

    name: ClassVar[str] = "prometheus"
    PORTS: ClassVar[Mapping[str, int]] = {"http": 9090}
    config: Path = PRODUCT / "prometheus" / "prometheus.yml"
    """Its configuration: set another one before it starts."""

    @property
    def ask(self) -> PrometheusApi:
        """Return how to query it."""
        return PrometheusApi(self.address("http"))

    def scrape(self, job: str, *addresses: str) -> None:
        """Scrape each `host:port` as a job of the product's file, which has its usual address."""
        copy = self.folder / "config"
        if self.config.parent != copy:
            shutil.copytree(self.config.parent, copy)
            self.config = copy / self.config.name
        (copy / "targets" / f"{job}.yml").write_text(json.dumps([{"targets": addresses}]))

    def command(self) -> list[str]:
        """Return how it is started."""
        return [
            str(locate("prometheus")),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.ports['http']}",
            *FLAGS,
        ]

    def is_ready(self) -> bool:
        """Say whether it takes data and queries."""
        return http.answers(f"{self.address('http')}/-/ready")

    def for_collector(self) -> dict[str, str]:
        """Return where the Collector sends metrics."""
        return {"PROMETHEUS_OTLP_ENDPOINT": f"{self.address('http')}/api/v1/otlp"}
