"""A copy of the product's Prometheus configuration that looks every second.

Intervals and places are replaced, and the `for` of the alerts that a test names; the rules'
expressions, labels and texts are the committed ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import yaml

from support.stack.alertmanager import Alertmanager
from support.stack.collector import Collector
from support.stack.product import PRODUCT
from support.stack.prometheus import Prometheus

FOLDER = PRODUCT / "prometheus"
EVERY = "1s"
"""Instead of 15 seconds: how often rules are evaluated and targets are scraped."""
AT_ONCE = "1s"
"""Instead of minutes: how long the condition of a named alert must hold."""


def prometheus(
    folder: Path,
    *,
    collector: Collector,
    alertmanager: Alertmanager | None = None,
    at_once: Collection[str],
    file: str = "prometheus.yml",
    shorter: Mapping[str, str] | None = None,
) -> Prometheus:
    """Return a Prometheus with the product's rules, which tells `alertmanager` of alerts.

    `file` is the product's configuration; in the rules each text of `shorter` is replaced.
    """
    made = folder / "prometheus-configuration"
    (made / "rules").mkdir(parents=True)
    (made / "targets").mkdir()
    config = yaml.safe_load((FOLDER / file).read_text())
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    engine = Prometheus(folder)
    targets = {"collector": collector.ports["metrics"], "scrape": collector.ports["scrape"]}
    if alertmanager is not None:
        targets["alertmanager"] = alertmanager.ports["http"]
    for name, port in targets.items():
        text = yaml.safe_dump([{"targets": [f"127.0.0.1:{port}"]}])
        (made / "targets" / f"{name}.yml").write_text(text)
    for scrape in config["scrape_configs"]:
        if scrape["job_name"] == "prometheus":
            scrape["static_configs"] = [{"targets": [f"127.0.0.1:{engine.ports['http']}"]}]
    (made / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    for path in sorted((FOLDER / "rules").glob("*.yml")):
        text = _sooner(path, at_once)
        for old, new in (shorter or {}).items():
            text = text.replace(old, new)
        (made / "rules" / path.name).write_text(text)
    engine.config = made / "prometheus.yml"
    return engine


def _sooner(path: Path, at_once: Collection[str]) -> str:
    """Return a file of rules in which the named alerts wait no minutes."""
    read = yaml.safe_load(path.read_text())
    for group in read["groups"]:
        for rule in group["rules"]:
            if rule.get("alert") in at_once:
                rule["for"] = AT_ONCE
    return yaml.safe_dump(read, sort_keys=False)
