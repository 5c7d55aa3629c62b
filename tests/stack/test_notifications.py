"""The real Alertmanager tells Slack, PagerDuty, mail and the platform what a person can read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.alerts import TOKEN
from support.stack import Alertmanager, alerting, eventually, standins
from support.stack.alerting import Channels
from support.stack.ask import http
from support.stack.ask.openmetrics import OpenMetrics
from support.stack.standins import Post, Taker

RUNBOOK = "https://docs.example/high-queue-size.html"
DASHBOARD = "https://grafana.example/d/etl-celery?var-x=a%26b"
BEGIN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
SINCE = f"{BEGIN:%Y-%m-%d %H:%M} UTC"
Alert = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """An Alertmanager, and all whom it tells."""

    alertmanager: Alertmanager
    """It has the product's routes and templates; its waits are `alerting.WAITS`."""
    channels: Channels
    """Slack, pager and mail."""
    platform: Taker
    """Stands for the platform."""

    def tell(self, *alerts: Alert) -> None:
        """Tell Alertmanager of alerts, as Prometheus does."""
        http.send("POST", f"{self.alertmanager.address('http')}/api/v2/alerts", list(alerts))

    def at(self, taker: Taker, name: str, number: int) -> Post:
        """Wait for a post about an alert; return the `number`-th, from 1."""

        def found() -> list[Post]:
            posts = [post for post in taker.posts if name in str(post.body)]
            return posts if len(posts) >= number else []

        return eventually(f"{name} arrives {number} times", found)[number - 1]

    def mail(self, name: str, number: int) -> Any:
        """Wait for a mail about an alert; return the `number`-th, from 1."""

        def found() -> list[Any]:
            mails = [mail for mail in self.channels.mail.messages if name in mail["Subject"]]
            return mails if len(mails) >= number else []

        return eventually(f"{number} mails about {name}", found)[number - 1]

    def heard(self, name: str) -> set[str]:
        """Return the status of an alert in everything that the platform was told."""
        return {
            alert["status"]
            for post in self.platform.posts
            for alert in post.body["alerts"]
            if alert["labels"]["alertname"] == name
        }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Run Alertmanager and all stand-ins."""
    folder = tmp_path_factory.mktemp("told")
    with (
        alerting.channels(folder) as channels, standins.webhook() as platform,
        alerting.alertmanager(folder, platform=platform.address, told=channels) as engine,
    ):  # fmt: skip
        yield Told(engine, channels, platform)


def alert(name: str, severity: str = "critical", *, ended: bool = False, **labels: str) -> Alert:
    """Return an alert of the production."""
    made = {
        "labels": {
            "alertname": name,
            "severity": severity,
            "deployment_environment_name": "production",
            **labels,
        },
        "annotations": {
            "summary": "Queue {{ x <!channel> & co: 1200 messages wait",
            "description": "More than 1000 messages wait.",
            "runbook_url": RUNBOOK,
            "dashboard_url": DASHBOARD,
        },
        "startsAt": BEGIN.isoformat(),
        "generatorURL": "http://prometheus.example/graph",
    }
    if ended:
        made["endsAt"] = (BEGIN + timedelta(minutes=4)).isoformat()
    return made


def test_the_pager_is_called_and_called_off(told: Told) -> None:
    """An event has the summary with its value, links and the secret key; the end resolves it."""
    # What is a template in a label must not be executed: it would keep the event from being sent.
    told.tell(alert("QueueOfPager", queue_name="celery"))
    begun = told.at(told.channels.pager, "QueueOfPager", 1)
    key = begun.body.pop("dedup_key")
    assert (begun.path, begun.body.pop("client_url").partition("/#")[2]) == (
        "/v2/enqueue",
        "/alerts?receiver=pagerduty",
    )
    assert begun.body == {
        "routing_key": alerting.ROUTING_KEY,
        "event_action": "trigger",
        "client": "Alertmanager",
        "payload": {
            "summary": "QueueOfPager (production): Queue {{ x <!channel> & co: 1200 messages wait",
            "source": "production",
            "severity": "critical",
            "class": "QueueOfPager",
            "custom_details": {
                "firing": "* Queue {{ x <!channel> & co: 1200 messages wait\n",
                "resolved": "none",
                "num_firing": 1,
                "num_resolved": 0,
            },
        },
        "links": [
            {"href": RUNBOOK, "text": "Runbook"},
            {"href": DASHBOARD, "text": "Dashboard"},
        ],
    }
    told.tell(alert("QueueOfPager", queue_name="celery", ended=True))
    ended = told.at(told.channels.pager, "QueueOfPager", 2)
    assert (ended.body["event_action"], ended.body["dedup_key"]) == ("resolve", key)


def test_slack_shows_what_a_person_needs_and_calls_nobody(told: Told) -> None:
    """Title, summary, description and links; a name that somebody chose cannot call a channel."""
    told.tell(alert("QueueOfSlack", "warning"))
    begun = told.at(told.channels.slack, "QueueOfSlack", 1)
    (attachment,) = begun.body["attachments"]
    assert (begun.path, begun.body["channel"]) == (alerting.SLACK_PATH, "#etl-alerts")
    assert attachment["title"] == "[FIRING:1] QueueOfSlack (production)"
    assert attachment["color"] == "warning"
    assert attachment["text"] == (
        "*Queue {{ x &lt;!channel&gt; &amp; co: 1200 messages wait*\n"
        "More than 1000 messages wait.\n"
        f"<{RUNBOOK}|Runbook> <{DASHBOARD}|Dashboard> since {SINCE}\n"
    )
    told.tell(alert("QueueOfSlack", "warning", ended=True))
    (attachment,) = told.at(told.channels.slack, "QueueOfSlack", 2).body["attachments"]
    assert attachment["title"] == "[RESOLVED] QueueOfSlack (production)"
    assert (attachment["color"], attachment["text"]) == (
        "good",
        "Over: Queue {{ x &lt;!channel&gt; &amp; co: 1200 messages wait\n",
    )


def test_mail_is_sent_with_tls_and_login_and_its_end_is_in_the_same_thread(told: Told) -> None:
    """Subject, a text and an HTML part with the same content; the markup of a label is text."""
    told.tell(alert("QueueOfMail"))
    begun = told.mail("QueueOfMail", 1)
    assert (begun["From"], begun["To"]) == (
        "ETL alerts <etl-alerts@example.com>",
        "etl-operations@example.com",
    )
    assert begun["Subject"] == (
        "[FIRING:1] QueueOfMail (production): Queue {{ x <!channel> & co: 1200 messages wait"
    )
    assert set(told.channels.mail.logins) == {("etl-alerts@example.com", standins.PASSWORD)}
    assert begun.get_body(("plain",)).get_content().splitlines() == [
        "Queue {{ x <!channel> & co: 1200 messages wait",
        "More than 1000 messages wait.",
        f"Since {SINCE}",
        f"Runbook: {RUNBOOK}",
        f"Dashboard: {DASHBOARD}",
        "",
    ]
    html = begun.get_body(("html",)).get_content()
    assert "Queue {{ x &lt;!channel&gt; &amp; co: 1200 messages wait" in html
    assert f'<a href="{RUNBOOK}">Runbook</a>' in html
    told.tell(alert("QueueOfMail", ended=True))
    ended = told.mail("QueueOfMail", 2)
    assert ended["Subject"].startswith("[RESOLVED] QueueOfMail (production): ")
    assert re.fullmatch(r"<alert-\w+-@alertmanager>", begun["References"])
    assert (begun["In-Reply-To"], ended["In-Reply-To"]) == (begun["References"],) * 2


def test_the_platform_hears_everything(told: Told) -> None:
    """A critical one, a warning, and one without a severity; each begin and end, with the token."""
    names = {"HeardCritical": "critical", "HeardWarning": "warning", "HeardNone": ""}
    told.tell(*(alert(name, severity) for name, severity in names.items()))
    for name in names:
        assert told.at(told.platform, name, 1).headers["authorization"] == f"Bearer {TOKEN}"
    told.tell(*(alert(name, severity, ended=True) for name, severity in names.items()))
    for name in names:
        eventually(f"{name} ends", lambda name=name: told.heard(name) == {"firing", "resolved"})


def test_many_pipelines_are_one_message(told: Told) -> None:
    """Alerts of one name and environment come together: a count, and the first twenty of them."""
    alerts = [alert("ManyFail", "warning", pipeline_name=f"p{number:02}") for number in range(30)]
    for each in alerts:
        each["annotations"]["summary"] = f"{each['labels']['pipeline_name']} fails"
    told.tell(*alerts)
    # Taken one after the other: the first message may be about the first few.
    title = "[FIRING:30] ManyFail (production)"
    (attachment,) = told.at(told.channels.slack, title, 1).body["attachments"]
    assert re.findall(r"\*(p\d\d) fails\*", attachment["text"]) == [f"p{n:02}" for n in range(20)]
    assert "The first 20 of 30. All of them are in Alertmanager." in attachment["text"]
    assert told.mail(title, 1)["Subject"] == f"{title}: p00 fails (1 of 30)"


def test_an_alert_with_nothing_to_read_shows_its_name(told: Told) -> None:
    """A rule of somebody else's without annotations and environment breaks no template."""
    bare = {"labels": {"alertname": "Bare", "severity": "critical"}}
    told.tell(bare)
    event = told.at(told.channels.pager, "Bare", 1).body
    assert (event["payload"]["summary"], event["payload"]["source"]) == ("Bare: Bare", "etl")
    assert "links" not in event
    assert told.mail("Bare", 1)["Subject"] == "[FIRING:1] Bare: Bare"


STAGING = {"deployment_environment_name": "staging"}
OTHER = {"instance": "b"}
SERVICE = {"job": "etl-platform"}
SILENCED = [
    ("ServiceDown", SERVICE, "ObserverSilent", SERVICE, STAGING),
    ("ServiceDown", SERVICE, "TelemetryDropped", {**SERVICE, "reason": "queue_full"},
     {"job": "shop"}),
    ("RunBurnRateFast", {}, "RunBurnRateSlow", {}, STAGING),
    ("CollectorLosing", {"instance": "a", "exporter": "e"},
     "CollectorQueueFilling", {"instance": "a", "exporter": "e", "data_type": "traces"}, OTHER),
]  # fmt: skip
"""A cause and its labels, a consequence and its labels, and what makes that one of elsewhere."""


@pytest.mark.parametrize(("source", "its", "target", "own", "elsewhere"), SILENCED)
def test_a_consequence_is_silent_until_its_cause_is_over(
    *,
    source: str,
    its: dict[str, str],
    target: str,
    own: dict[str, str],
    elsewhere: dict[str, str],
    told: Told,
) -> None:
    """Only its cause is told; what goes on afterwards is told then."""
    told.tell(alert(source, "critical", **its))
    told.at(told.platform, source, 1)
    here, there = alert(target, "warning", **own), alert(target, "warning", **{**own, **elsewhere})
    told.tell(here, there)
    eventually("it is silent", lambda: silent(told, target) == [here["labels"]])
    eventually("the one elsewhere is told", lambda: labels(told, target) == [there["labels"]])
    told.tell(alert(source, "critical", ended=True, **its))
    eventually("the silent one is told", lambda: here["labels"] in labels(told, target))


def silent(told: Told, name: str) -> list[dict[str, str]]:
    """Return the labels of the alerts of which Alertmanager itself says that it silences them."""
    url = f"{told.alertmanager.address('http')}/api/v2/alerts"
    found = http.get(url, filter=f'alertname="{name}"')
    return [each["labels"] for each in found if each["status"]["inhibitedBy"]]


def labels(told: Told, name: str) -> list[dict[str, str]]:
    """Return the labels of an alert in what the platform was told, in the order in which it was."""
    return [
        each["labels"]
        for post in told.platform.posts
        for each in post.body["alerts"]
        if each["labels"]["alertname"] == name
    ]


INTEGRATION = {"slack-url": "slack", "pagerduty-key": "pagerduty", "smtp-password": "email"}
"""Alertmanager's name of a channel, by the file of its secret."""


@pytest.mark.parametrize("missing", INTEGRATION)
def test_a_channel_that_fails_keeps_no_other_from_being_told(missing: str, told: Told) -> None:
    """A secret that is not there is an error of its own channel; once it is there, it goes on."""
    path = told.alertmanager.config.parent / missing
    secret = path.read_text()
    path.unlink()
    severity = "warning" if missing == "slack-url" else "critical"
    name = f"Without{missing.title().replace('-', '')}"
    arrives: dict[str, Callable[[], object]] = {
        "slack-url": lambda: told.at(told.channels.slack, name, 1),
        "pagerduty-key": lambda: told.at(told.channels.pager, name, 1),
        "smtp-password": lambda: told.mail(name, 1),
    }
    try:
        told.tell(alert(name, severity))
        told.at(told.platform, name, 1)
        for other in arrives.keys() - {missing}:
            if {severity, other} not in ({"warning", "pagerduty-key"}, {"critical", "slack-url"}):
                arrives[other]()
        eventually("it is counted", lambda: failures(told, INTEGRATION[missing]))
    finally:
        path.write_text(secret)
    arrives[missing]()


def failures(told: Told, integration: str) -> float:
    """Return what the alert NotificationsFailing looks at."""
    ask = OpenMetrics(f"{told.alertmanager.address('http')}/metrics")
    found = ask.values("alertmanager_notifications_failed", "integration", "reason")
    return sum(value for key, value in found.items() if key[0] == integration)
