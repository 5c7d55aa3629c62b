"""Jaeger 2, which takes OTLP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from support.engines import locate
from support.stack.ask import http
from support.stack.ask.jaeger import JaegerApi
from support.stack.engine import Engine
from support.stack.product import PRODUCT


class Jaeger(Engine):
    """A Jaeger with the product's `jaeger.yaml`, moved to free ports."""

    name: ClassVar[str] = "jaeger"
    PORTS: ClassVar[Mapping[str, int]] = {
        "otlp": 14318, "otlp_grpc": 14317, "query": 16686, "query_grpc": 16685, "health": 13134,
    }  # fmt: skip
    config: Path = PRODUCT / "jaeger" / "jaeger.yaml"
    """Its configuration: set another one before it starts."""
    more: Sequence[Path] = ()
    """Configurations over it, in order."""

    def __init__(self, folder: Path, *, usual_ports: bool = False) -> None:
        super().__init__(folder, usual_ports=usual_ports)
        # It would trace itself, and send that to a Collector on the usual port.
        self.variables["OTEL_TRACES_SAMPLER"] = "always_off"
        self.variables["JAEGER_UI_CONFIG"] = str(PRODUCT / "jaeger" / "ui.json")

    @property
    def ask(self) -> JaegerApi:
        """Return how to find traces in it."""
        return JaegerApi(self.address("query"))

    def command(self) -> list[str]:
        """Return how it is started."""
        overlay = self.folder / "ports.yaml"
        overlay.write_text(json.dumps(self._ports()))  # JSON is YAML.
        configs = [f"--config={path}" for path in (self.config, *self.more, overlay)]
        return [str(locate("jaeger")), *configs]

    def is_ready(self) -> bool:
        """Say whether it takes and finds traces."""
        return http.answers(f"{self.address('query')}/api/v3/services")

    def for_collector(self) -> dict[str, str]:
        """Return where the Collector sends traces."""
        return {"JAEGER_OTLP_ENDPOINT": self.address("otlp")}

    def _ports(self) -> dict[str, Any]:
        def at(port: str) -> dict[str, str]:
            return {"endpoint": f"127.0.0.1:{self.ports[port]}"}

        return {
            "receivers": {"otlp": {"protocols": {"http": at("otlp"), "grpc": at("otlp_grpc")}}},
            "extensions": {
                "jaeger_query": {"http": at("query"), "grpc": at("query_grpc")},
                "healthcheckv2": {"http": at("health")},
            },
        }
