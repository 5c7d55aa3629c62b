"""The alerts fire on real engines whether metrics are pushed to Prometheus or scraped by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.stack import Collector, Prometheus, eventually, rules
from support.stack.emitter import Emitter
from support.stack.product import PRODUCT

SHORTER = {
    ":1m])": ":1s])",  # minutes of a service are seconds here
    "[3d]) > 60": "[3d]) > 1",
    "<= 180": "<= 10",
}
"""What makes ServiceDown's hours seconds."""
AT_ONCE = ("PipelineFailureRate", "ServiceDown", "CollectorDown")
BACKEND = {"traces/backend": "debug", "logs/backend": "debug", "logs/audit": "debug"}
NO_BACKENDS: dict[str, Any] = {
    "exporters": {"debug": {}},
    "service": {"pipelines": {name: {"exporters": [each]} for name, each in BACKEND.items()}},
}
"""Only metrics go on."""
SHORT_MEMORY = {"exporters": {"prometheus/scrape": {"metric_expiration": "3s"}}}
"""Instead of ten minutes: how long what has ended is shown to who scrapes."""
PROFILES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "push": ("prometheus.yml", [], {}),
    "scrape": ("prometheus-scrape.yml", ["overlays/metrics-scrape.yaml"], SHORT_MEMORY),
}
"""Prometheus' configuration, the Collector's overlays, and what makes it quick."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A Collector, and a Prometheus that evaluates the rules every second."""

    collector: Collector
    """It has the overlays of the profile."""
    prometheus: Prometheus
    """It has the configuration of the profile."""

    def firing(self, alert: str) -> list[dict[str, str]]:
        """Return the labels of an alert that fires, without those of Prometheus."""
        found = self.prometheus.ask.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')
        own = {"alertname", "alertstate", "__name__"}
        return [{k: v for k, v in each.labels.items() if k not in own} for each in found]

    def fires(self, alert: str, **labels: str) -> None:
        """Wait until an alert fires with these labels, and with no others."""
        eventually(f"{alert} fires", lambda: labels in self.firing(alert))

    def is_over(self, alert: str, **labels: str) -> None:
        """Wait until it does not fire any more."""
        eventually(f"{alert} is over", lambda: labels not in self.firing(alert))

    def emitter(self, **variables: str) -> Emitter:
        """Return an application whose every third run fails."""
        return Emitter(self.collector.otlp_http, pace=0.1, runs=True, **variables)


@pytest.fixture(params=PROFILES)
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    """Run both."""
    file, overlays, quick = PROFILES[request.param]
    collector = Collector(tmp_path)
    collector.configs += [PRODUCT / each for each in overlays]
    for number, more in enumerate((NO_BACKENDS, quick)):
        collector.configs.append(tmp_path / f"quick-{number}.yaml")
        collector.configs[-1].write_text(json.dumps(more))
    prometheus = rules.prometheus(
        tmp_path, collector=collector, at_once=AT_ONCE, file=file, shorter=SHORTER
    )
    collector.variables |= prometheus.for_collector()
    with collector, prometheus:
        yield Watched(collector, prometheus)


def test_alerts_fire_in_both_profiles(watched: Watched) -> None:
    """A pipeline that fails, a service that is down and comes back, a Collector that is down."""
    env = {"deployment_environment_name": "production"}
    as_own = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=production"}
    with watched.emitter(**as_own) as emitter:
        pipeline = {"organization": "acme", "pipeline_name": "emitted"}
        watched.fires("PipelineFailureRate", severity="warning", **env, **pipeline)
        emitter.end()
        down = {"severity": "critical", "job": emitter.service, **env}
        watched.fires("ServiceDown", **down)
    with watched.emitter(**as_own, OTEL_SERVICE_NAME=emitter.service):
        watched.is_over("ServiceDown", **down)
        watched.collector.kill()
        where = f"127.0.0.1:{watched.collector.ports['metrics']}"
        watched.fires("CollectorDown", severity="critical", job="collector", instance=where)
        # It is one alert: nobody can tell of a service now.
        assert watched.firing("ServiceDown") == []
