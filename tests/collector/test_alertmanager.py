"""Alertmanager's configuration: everything reaches the platform, and no secret is in git."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from etl_telemetry.config import Config
from support import compose
from support.deployment import COLLECTOR

FOLDER = COLLECTOR / "alertmanager"
CONFIG = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
PER_ALERT = 4_000
"""Bytes of an alert with many labels and long annotations."""


def webhook() -> dict[str, Any]:
    """Return how the platform is told."""
    (receiver,) = (each for each in CONFIG["receivers"] if each["name"] == "platform")
    (found,) = receiver["webhook_configs"]
    return dict(found)


def silenced(route: dict[str, Any]) -> Iterator[str]:
    """Find what could keep an alert from the first receiver: a route that ends the search."""
    for child in route.get("routes", []):
        if child["receiver"] != "platform" and not child.get("continue"):
            yield child["receiver"]
        yield from silenced(child)


def keys(value: object) -> Iterator[str]:
    """Find every key below a value."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value:  # type: ignore[attr-defined]
        if isinstance(inner, dict | list):
            yield from keys(inner)


def test_routes_and_silences_have_matchers() -> None:
    """Not `match` and its like, which Alertmanager has given up."""
    assert {"matchers", "source_matchers", "target_matchers"} <= set(keys(CONFIG))
    assert [
        key for key in keys(CONFIG) if re.fullmatch(r"((source|target)_)?match(_re)?", key)
    ] == []


def test_everything_reaches_the_platform() -> None:
    """The root of the routes is the platform, and no route before it takes an alert away."""
    first = [CONFIG["route"], *CONFIG["route"].get("routes", [])]
    assert "platform" in {route["receiver"] for route in first}
    assert list(silenced(CONFIG["route"])) == []


def test_begins_and_ends_are_sent_where_the_webhook_is_mounted() -> None:
    """The path of the documentation; a redirect is an error rather than a silent success."""
    found = webhook()
    assert urlsplit(found["url"]).path == "/api/alerts/webhook"
    assert found["send_resolved"] is True
    assert found["http_config"]["follow_redirects"] is False


def test_a_delivery_is_never_larger_than_what_is_taken() -> None:
    """A group of any size: what is left out is told."""
    assert webhook()["max_alerts"] * PER_ALERT <= Config().alert_max_bytes


def test_the_token_is_in_a_file_that_git_ignores() -> None:
    """Beside the configuration, where compose mounts it as well."""
    assert webhook()["http_config"]["authorization"] == {"credentials_file": "webhook-token"}
    assert "alertmanager/webhook-token" in (COLLECTOR / ".gitignore").read_text().splitlines()
    mounts = compose.load(COLLECTOR).services["alertmanager"]["volumes"]
    assert {"source": "./alertmanager", "target": "/etc/alertmanager"}.items() <= mounts[0].items()
