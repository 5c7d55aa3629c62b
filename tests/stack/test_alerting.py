"""Somebody breaks the example platform, and the right alert arrives everywhere; so does its end.

Real are the platform, the Collector, Prometheus with the product's rules, Alertmanager with its
routes, and the platform's webhook. Slack, PagerDuty and the mail server are stand-ins. Jaeger and
Elasticsearch do not run: nothing here asks them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from support.alerts import TOKEN
from support.stack import Collector, alerting, eventually, ports, rules
from support.stack.alerting import Channels

if TYPE_CHECKING:
    from support.stack.platform import Platform

AT_ONCE = ("PipelineFailureRate", "CeleryWorkerDown", "HighQueueSize")
"""Alerts that wait a second instead of two or three minutes; all others keep their `for`."""
STORED = """
import json
from etl_telemetry.django.alerts.models import Alert
rows = Alert.objects.order_by("pk").values_list(
    "name", "status", "severity", "organization", "pipeline_name", "annotations")
print(json.dumps(list(rows)))
"""
Row = list[Any]


@dataclass(frozen=True, slots=True)
class Watched:
    """The platform, watched by all of it."""

    platform: Platform
    """The platform, with an observer that looks every two seconds."""
    channels: Channels
    """Slack, pager and mail."""

    def stored(self, name: str) -> list[Row]:
        """Return what the platform's table has of an alert, in the order in which it came."""
        rows = json.loads(self.platform.manage("shell", "--verbosity", "0", "-c", STORED))
        return [row[1:] for row in rows if row[0] == name]

    def hears(self, name: str, status: str) -> Row:
        """Wait until the platform was told; return what it was told."""

        def told() -> list[Row]:
            return [row for row in self.stored(name) if row[0] == status]

        return eventually(f"{name} is {status} on the platform", told, every=1)[0]

    def mailed(self, start: str) -> str:
        """Wait for a mail by the start of its subject; return its text."""

        def found() -> list[Any]:
            return [m for m in self.channels.mail.messages if m["Subject"].startswith(start)]

        body = str(eventually(start, found)[0].get_body(("plain",)).get_content())
        return body.replace("\r\n", "\n")

    def slacked(self, title: str) -> str:
        """Wait for a message in Slack by its title; return its text."""

        def found() -> list[str]:
            (*attachments,) = (post.body["attachments"][0] for post in self.channels.slack.posts)
            return [each["text"] for each in attachments if each["title"] == title]

        return eventually(title, found)[0]

    def paged(self, action: str) -> dict[str, Any]:
        """Wait for an event of the pager; return it."""

        def found() -> list[dict[str, Any]]:
            events = [post.body for post in self.channels.pager.posts]
            return [event for event in events if event["event_action"] == action]

        return eventually(f"the pager gets {action}", found)[0]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run the platform and all that watches it."""
    from demo import platform_services as services
    from support.stack.platform import Platform

    folder = tmp_path_factory.mktemp("watched")
    collector = Collector(folder)
    platform = Platform(
        folder / "platform",
        endpoint=collector.otlp_http,
        variables={"ETL_TELEMETRY_ALERT_TOKENS": TOKEN},
    )
    with alerting.channels(folder) as channels:
        alertmanager = alerting.alertmanager(folder, platform=platform.address, told=channels)
        prometheus = rules.prometheus(
            folder, collector=collector, alertmanager=alertmanager, at_once=AT_ONCE
        )
        (nobody,) = ports.free(1)
        collector.variables |= prometheus.for_collector() | {
            "ELASTICSEARCH_ENDPOINT": f"http://127.0.0.1:{nobody}",
            "JAEGER_OTLP_ENDPOINT": f"http://127.0.0.1:{nobody}",
        }
        with alertmanager, prometheus, collector, platform:
            observe = ("manage.py", "telemetry_observer", "--interval", "2")
            platform.fleet.start("observer", services.PYTHON, *observe)
            yield Watched(platform, channels)


def test_a_pipeline_that_fails_is_told(watched: Watched) -> None:
    """Its runs fail: Slack, mail and the platform learn which pipeline, and what share."""
    watched.platform.manage("incident", "fail_pipeline")
    title = "[FIRING:1] PipelineFailureRate (production)"
    summary = "fleet-aa of AA: 100% of the runs fail"
    assert watched.slacked(title).startswith(f"*{summary}*\nMore than 10 % of the runs")
    assert watched.mailed(f"{title}: {summary}").startswith(f"{summary}\n")
    status, severity, organization, pipeline, texts = watched.hears("PipelineFailureRate", "firing")
    assert (status, severity, organization, pipeline) == ("firing", "warning", "AA", "fleet-aa")
    assert texts["summary"] == summary


def test_a_stopped_worker_and_its_queue_are_told_and_so_is_their_end(watched: Watched) -> None:
    """A worker is stopped and a queue fills: Slack has the one, the pager the other."""
    from demo import platform_services as services

    watched.platform.manage("incident", "stop_worker")
    down = "[FIRING:1] CeleryWorkerDown (production)"
    assert "does not answer any more" in watched.slacked(down)
    assert watched.hears("CeleryWorkerDown", "firing")[1] == "warning"
    watched.platform.manage("incident", "fill_queue")
    begun = watched.paged("trigger")
    # How many there are when somebody looks first is chance: they are being published.
    full = r"Queue celery: 1\d{3} messages wait"
    assert re.fullmatch(rf"HighQueueSize \(production\): {full}", begun["payload"]["summary"])
    assert begun["payload"]["severity"] == "critical"
    assert re.match(rf"{full}\n", watched.mailed("[FIRING:1] HighQueueSize (production): "))
    assert watched.hears("HighQueueSize", "firing")[1] == "critical"

    services.start_worker(watched.platform.fleet)
    assert watched.paged("resolve")["dedup_key"] == begun["dedup_key"]
    assert watched.mailed("[RESOLVED] HighQueueSize (production): ").startswith("Over since ")
    assert watched.slacked("[RESOLVED] CeleryWorkerDown (production)").startswith("Over: ")
    for name in ("CeleryWorkerDown", "HighQueueSize"):
        watched.hears(name, "resolved")


def test_nothing_else_woke_anybody(watched: Watched) -> None:
    """The pager had one incident, and Slack no alert but the two that belong there."""
    events = [post.body["payload"]["class"] for post in watched.channels.pager.posts]
    assert set(events) == {"HighQueueSize"}
    titles = {post.body["attachments"][0]["title"] for post in watched.channels.slack.posts}
    assert {title.split()[1] for title in titles} == {"PipelineFailureRate", "CeleryWorkerDown"}
