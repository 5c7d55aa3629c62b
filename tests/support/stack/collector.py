"""The OpenTelemetry Collector, with configurations of the product."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from support.engines import locate
from support.stack.ask import http
from support.stack.ask.openmetrics import OpenMetrics
from support.stack.engine import Engine
from support.stack.product import PRODUCT

OVERLAY = {"service": {"telemetry": {"logs": {"sampling": {"enabled": False}}}}}
"""Only for tests: sampling of its own log would hide repeated errors."""


class Collector(Engine):
    """A Collector. `configs` are its `--config` files, in order: change them and `restart()`.

    `variables` go into its environment: the addresses of the backends, for instance. Two in one
    test (agent and gateway) need `folder`s of their own.
    """

    name: ClassVar[str] = "collector"
    PORTS: ClassVar[Mapping[str, int]] = {
        "grpc": 4317, "http": 4318, "health": 13133, "metrics": 8888, "scrape": 9464,
    }  # fmt: skip

    def __init__(
        self,
        folder: Path,
        *,
        configs: Sequence[Path] = (PRODUCT / "single-node.yaml",),
        usual_ports: bool = False,
    ) -> None:
        super().__init__(folder, usual_ports=usual_ports)
        self.configs = list(configs)
        self.queue = self.folder / "queue"
        self.queue.mkdir(exist_ok=True)
        self.overlay = self.folder / "only-for-tests.yaml"
        self.overlay.write_text(json.dumps(OVERLAY))  # JSON is YAML.
        self.variables.update(self._places())

    @property
    def otlp_http(self) -> str:
        """Return the endpoint for OTLP over HTTP: `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return self.address("http")

    @property
    def otlp_grpc(self) -> str:
        """Return the endpoint for OTLP over gRPC."""
        return self.address("grpc")

    @property
    def ask(self) -> OpenMetrics:
        """Return its own metrics, such as `otelcol_exporter_queue_size`."""
        return OpenMetrics(f"{self.address('metrics')}/metrics")

    def command(self) -> list[str]:
        """Return how it is started."""
        configs = [f"--config={path}" for path in (*self.configs, self.overlay)]
        return [str(locate("collector")), *configs]

    def is_ready(self) -> bool:
        """Say whether its health check is content."""
        return http.answers(self.address("health"))

    def expected_ports(self) -> set[int]:
        """Return the ports of every configuration; `scrape` is an overlay's."""
        return {port for name, port in self.ports.items() if name != "scrape"}

    @contextmanager
    def changed(self, overlay: Any = None, **variables: str) -> Iterator[None]:
        """Let it run with a configuration over its own, and other variables, for this block."""
        configs, usual = list(self.configs), dict(self.variables)
        if overlay is not None:
            changed = self.folder / "changed.yaml"
            changed.write_text(json.dumps(overlay))
            self.configs.append(changed)
        self.variables.update(variables)
        self.restart()
        try:
            yield
        finally:
            self.configs, self.variables = configs, usual
            self.restart()

    def waiting(self) -> float:
        """Return how many items wait in the queues of its exporters."""
        size = "otelcol_exporter_queue_size"
        return sum(self.ask.values(size, "exporter", "data_type").values())

    def _places(self) -> dict[str, str]:
        def local(port: str) -> str:
            return f"127.0.0.1:{self.ports[port]}"

        return {
            "ETL_OTLP_GRPC_ENDPOINT": local("grpc"),
            "ETL_OTLP_HTTP_ENDPOINT": local("http"),
            "ETL_HEALTH_ENDPOINT": local("health"),
            "ETL_COLLECTOR_METRICS_HOST": "127.0.0.1",
            "ETL_COLLECTOR_METRICS_PORT": str(self.ports["metrics"]),
            "ETL_SCRAPE_ENDPOINT": local("scrape"),
            "ETL_QUEUE_DIRECTORY": str(self.queue),
        }
