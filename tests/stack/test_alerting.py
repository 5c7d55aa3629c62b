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

import psycopg
import pytest

from etl_telemetry.ops.rules.model import DOCS, GRAFANA
from support.alerts import TOKEN
from support.stack import Collector, alerting, eventually, rules
from support.stack.alerting import Channels

if TYPE_CHECKING:
    from support.stack.platform import Platform

AT_ONCE = ("PipelineFailureRate", "CeleryWorkerDown", "HighQueueSize")
"""Alerts that wait a second instead of two or three minutes; all others keep their `for`."""
METRICS_ONLY = {
    "exporters": {"debug": {}},
    "service": {
        "pipelines": {
            name: {"exporters": ["debug"]}
            for name in ("traces/backend", "logs/backend", "logs/audit")
        }
    },
}
"""What would go to Jaeger and Elasticsearch ends here."""
STORED = """
select severity, organization, pipeline_name, annotations
from etl_telemetry_alert where name = %s and status = %s order by id
"""
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """The platform, watched by all of it."""

    platform: Platform
    """The platform, with an observer that looks every two seconds."""
    channels: Channels
    """Slack, pager and mail."""

    def stored(self, name: str, status: str) -> Row:
        """Wait until the platform's table has a piece of news about an alert; return it."""
        with psycopg.connect(self.platform.variables["DATABASE_URL"], autocommit=True) as database:

            def found() -> list[Row]:
                return database.execute(STORED, (name, status)).fetchall()

            return eventually(f"{name} is {status} on the platform", found)[0]

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
        collector.variables |= prometheus.for_collector()
        collector.configs.append(folder / "metrics-only.yaml")
        collector.configs[-1].write_text(json.dumps(METRICS_ONLY))
        with alertmanager, prometheus, collector, platform:
            yield Watched(platform, channels)


def test_a_pipeline_that_fails_is_told(watched: Watched) -> None:
    """Its runs fail: Slack, mail and the platform learn which pipeline, and what share."""
    watched.platform.manage("incident", "fail_pipeline")
    title = "[FIRING:1] PipelineFailureRate (production)"
    summary = "fleet-aa of AA: 100% of the runs fail"
    assert watched.slacked(title).startswith(f"*{summary}*\nMore than 10 % of the runs")
    mail = watched.mailed(f"{title}: {summary}").splitlines()
    assert re.fullmatch(r"Since \d{4}-\d\d-\d\d \d\d:\d\d UTC", mail.pop(2))
    assert mail[0] == summary
    chosen = "&var-environment=production&var-organization=AA&var-pipeline=fleet-aa"
    assert mail[2:] == [
        f"Runbook: {DOCS}/pipeline-failure-rate.html",
        f"Dashboard: {GRAFANA}/d/etl-overview?orgId=1{chosen}",
        "",
    ]
    *whose, texts = watched.stored("PipelineFailureRate", "firing")
    assert (whose, texts["summary"]) == (["warning", "AA", "fleet-aa"], summary)


def test_a_stopped_worker_and_its_queue_are_told_and_so_is_their_end(watched: Watched) -> None:
    """A worker is stopped and a queue fills: Slack has the one, the pager the other."""
    from demo import platform_services as services

    for incident in ("stop_worker", "fill_queue"):
        watched.platform.manage("incident", incident)
    down = watched.slacked("[FIRING:1] CeleryWorkerDown (production)")
    assert "does not answer any more" in down
    begun = watched.paged("trigger")
    # How many there are when somebody looks first is chance: they are being published.
    full = r"Queue celery: 1\d{3} messages wait"
    assert re.fullmatch(rf"HighQueueSize \(production\): {full}", begun["payload"]["summary"])
    assert begun["payload"]["severity"] == "critical"
    assert re.match(rf"{full}\n", watched.mailed("[FIRING:1] HighQueueSize (production): "))
    assert watched.stored("CeleryWorkerDown", "firing")[0] == "warning"
    assert watched.stored("HighQueueSize", "firing")[0] == "critical"

    # Doing 1,500 tasks takes a slow machine minutes: somebody decides that nobody needs them.
    watched.platform.fleet.run("purge", *services.CELERY, "purge", "--force")
    services.start_worker(watched.platform.fleet)
    assert watched.slacked("[RESOLVED] CeleryWorkerDown (production)").startswith("Over: ")
    assert watched.paged("resolve")["dedup_key"] == begun["dedup_key"]
    assert watched.mailed("[RESOLVED] HighQueueSize (production): ").startswith("Over since ")
    for name in ("CeleryWorkerDown", "HighQueueSize"):
        watched.stored(name, "resolved")


def test_nothing_else_woke_anybody(watched: Watched) -> None:
    """The pager had one incident, and Slack no alert but the two that belong there."""
    events = [post.body["payload"]["class"] for post in watched.channels.pager.posts]
    assert set(events) == {"HighQueueSize"}
    titles = {post.body["attachments"][0]["title"] for post in watched.channels.slack.posts}
    assert {title.split()[1] for title in titles} == {"PipelineFailureRate", "CeleryWorkerDown"}
