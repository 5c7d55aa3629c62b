"""Anybody who takes OTLP from who shows a token: a second Collector that writes all of it down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.stack.collector import Collector

TOKEN = "a-token-of-the-vendor"
HEADER = f"Bearer {TOKEN}"
SIGNALS = ("metrics", "traces", "logs")
EXPORTERS = {"metrics-otlp": "otlp_http/metrics", "traces-tempo": "otlp_http/tempo"}
"""Overlays without a header of their own, and the exporter of each."""


class Anybody(Collector):
    """It stands where Mimir, Tempo or a vendor would, which are not among the engines.

    What it proves is what our Collector sends, where to, and with which login.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, configs=[])
        self.header = self.folder / "header"
        self.header.write_text(HEADER)
        config = self.folder / "anybody.yaml"
        config.write_text(json.dumps(self._config()))  # JSON is YAML.
        self.configs.append(config)

    def has(self, signal: str, text: str) -> bool:
        """Say whether it has taken something of `metrics`, `traces` or `logs` with this text."""
        return text in self._took(signal).read_text()

    def for_collector(self) -> dict[str, str]:
        """Return the variables of the overlays that send to it; a vendor's header among them."""
        return {
            "METRICS_OTLP_ENDPOINT": self.otlp_http,
            "TEMPO_OTLP_ENDPOINT": self.otlp_http,
            "VENDOR_OTLP_ENDPOINT": self.otlp_http,
            "VENDOR_OTLP_HEADER_NAME": "authorization",
            "VENDOR_OTLP_HEADER_VALUE": HEADER,
        }

    def header_from_a_file(self, overlays: Sequence[str]) -> dict[str, Any]:
        """Return what a team writes for a store that wants a login: a header, kept in a file."""
        headers = [{"name": "authorization", "value": f"${{file:{self.header}}}"}]
        names = (EXPORTERS[overlay] for overlay in overlays if overlay in EXPORTERS)
        return {"exporters": {name: {"headers": headers} for name in names}}

    def _took(self, signal: str) -> Path:
        return self.folder / f"{signal}.jsonl"

    def _config(self) -> dict[str, Any]:
        http = {"endpoint": f"127.0.0.1:{self.ports['http']}"}
        grpc = {"endpoint": f"127.0.0.1:{self.ports['grpc']}"}
        own = {"host": "127.0.0.1", "port": self.ports["metrics"]}
        return {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": grpc,
                        "http": {**http, "auth": {"authenticator": "bearertokenauth"}},
                    }
                }
            },
            "exporters": {
                f"file/{signal}": {"path": str(self._took(signal)), "flush_interval": "200ms"}
                for signal in SIGNALS
            },
            "extensions": {
                "bearertokenauth": {"token": TOKEN},
                "health_check": {"endpoint": f"127.0.0.1:{self.ports['health']}"},
            },
            "service": {
                "extensions": ["health_check", "bearertokenauth"],
                "telemetry": {
                    "metrics": {"readers": [{"pull": {"exporter": {"prometheus": own}}}]}
                },
                "pipelines": {
                    signal: {"receivers": ["otlp"], "exporters": [f"file/{signal}"]}
                    for signal in SIGNALS
                },
            },
        }
