"""VictoriaMetrics, which takes OTLP and answers Prometheus' queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from support.engines import locate
from support.stack.ask import http
from support.stack.ask.prometheus import PrometheusApi
from support.stack.engine import Engine


class VictoriaMetrics(Engine):
    """A single-node VictoriaMetrics."""

    name: ClassVar[str] = "victoriametrics"
    PORTS: ClassVar[Mapping[str, int]] = {"http": 8428}

    @property
    def ask(self) -> PrometheusApi:
        """Return how to query it: as Prometheus, without exemplars."""
        return PrometheusApi(self.address("http"))

    def command(self) -> list[str]:
        """Return how it is started."""
        return [
            str(locate("victoriametrics")),
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.ports['http']}",
            "-opentelemetry.usePrometheusNaming",
            "-retentionPeriod=1d",
            "-search.latencyOffset=1ms",  # By default it hides the last 30 s.
        ]

    def is_ready(self) -> bool:
        """Say whether it answers."""
        return http.answers(f"{self.address('http')}/health")

    def for_collector(self) -> dict[str, str]:
        """Return where the Collector sends metrics."""
        return {"VICTORIAMETRICS_OTLP_ENDPOINT": f"{self.address('http')}/opentelemetry"}
