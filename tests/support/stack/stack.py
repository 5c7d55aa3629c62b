"""Several engines together: the backends, and a Collector that knows where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support.stack.collector import Collector
from support.stack.elasticsearch import Elasticsearch
from support.stack.engine import Engine
from support.stack.jaeger import Jaeger
from support.stack.patience import eventually
from support.stack.product import PRODUCT
from support.stack.prometheus import Prometheus
from support.stack.startable import Startable


class Stack(Startable):
    """A Collector with Prometheus, Elasticsearch and Jaeger, and what else is asked for.

    Engines in `more` are started with the backends; the Collector's environment has the addresses
    of all, so that an overlay for one of them works without more.
    """

    def __init__(
        self,
        folder: Path,
        *,
        configs: Sequence[Path] = (PRODUCT / "single-node.yaml",),
        more: Sequence[Engine] = (),
        usual_ports: bool = False,
    ) -> None:
        self.folder = folder
        self.collector = Collector(folder, configs=configs, usual_ports=usual_ports)
        self.prometheus = Prometheus(folder, usual_ports=usual_ports)
        self.elasticsearch = Elasticsearch(folder, usual_ports=usual_ports)
        self.jaeger = Jaeger(folder, usual_ports=usual_ports)
        self.backends: tuple[Engine, ...] = (
            self.prometheus, self.elasticsearch, self.jaeger, *more
        )  # fmt: skip
        self.jaeger.variables["PROMETHEUS_URL"] = self.prometheus.address("http")
        for backend in self.backends:
            self.collector.variables.update(backend.for_collector())

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Return all engines, in the order in which they start."""
        return (*self.backends, self.collector)

    def start(self) -> Self:
        """Start all backends at the same time, and the Collector when they are ready."""
        for backend in self.backends:
            backend.start(wait=False)
        for backend in self.backends:
            backend.wait_until_ready()
        self.collector.start()
        return self

    def stop(self) -> None:
        """Stop everything: the Collector first, then all backends at the same time."""
        self.collector.stop()
        for backend in self.backends:
            backend.terminate()
        for backend in self.backends:
            backend.stop()

    def check(self) -> None:
        """Notice an engine that ended by itself.

        Raises:
            EngineFailed: One did; the text has the end of its log.
        """
        for engine in self.engines:
            engine.check()

    def settle(self) -> None:
        """Wait until the Collector has handed on everything that it has taken."""
        eventually("The Collector's queues get empty", lambda: self.collector.waiting() == 0)
