"""The real Alertmanager delivers to the webhook of a Django project: each piece of news once."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.alerts import TOKEN, deliver
from support.django_project import Project, fresh, project
from support.stack import Alertmanager, alerting
from support.stack.ask import http
from support.stack.patience import eventually

__all__ = ["fresh", "project"]

GUNICORN = (
    sys.executable, "-m", "gunicorn", "shop.wsgi", "--bind", "127.0.0.1:{port}", "--workers", "2",
)  # fmt: skip
URLS = """
from django.urls import include
urlpatterns += [path("api/alerts/", include("etl_telemetry.django.alerts.urls"))]
"""
BEGIN = datetime.now(UTC).replace(microsecond=123456)
OTHER = "another-token-of-nobody"
Rows = list[tuple[str, str, int]]


@contextmanager
def delivering(project: Project, folder: Path, *, token: str = TOKEN) -> Iterator[Alertmanager]:
    """Run the project and an Alertmanager with the product's file, without the other channels."""
    project.append("shop/urls.py", URLS)
    with project.serving(*GUNICORN, ETL_TELEMETRY_ALERT_TOKENS=TOKEN) as address:
        # It listens before it has loaded the project, and Alertmanager waits for ten seconds.
        url = f"{address}/api/alerts/webhook"
        eventually("the webhook answers", lambda: deliver(url, {}, token="none")[0] == 401)
        with alerting.alertmanager(folder, platform=address, token=token, waits={}) as engine:
            yield engine


def tell(alertmanager: Alertmanager, name: str, *, ended: bool = False) -> None:
    """Tell Alertmanager of an alert, as Prometheus does."""
    alert = {
        "labels": {"alertname": name, "severity": "warning", "pipeline_run_id": "42"},
        "annotations": {"summary": "made up"},
        "startsAt": BEGIN.isoformat(),
        "generatorURL": "http://prometheus.example.com/graph",
    }
    if ended:
        alert["endsAt"] = datetime.now(UTC).isoformat()
    http.send("POST", f"{alertmanager.address('http')}/api/v2/alerts", [alert])


def stored(project: Project) -> Rows:
    """Return name, status and the number of rows of each."""
    query = "select name, status, count(*) from etl_telemetry_alert group by 1, 2 order by 1, 2"
    with closing(sqlite3.connect(project.folder / "db.sqlite3")) as database:
        return [(name, status, count) for name, status, count in database.execute(query)]


def sent(alertmanager: Alertmanager, kind: str = "requests") -> float:
    """Return how many requests Alertmanager says that it sent to webhooks."""
    text = http.text(f"{alertmanager.address('http')}/metrics")
    name = f'alertmanager_notification_{kind}_total{{integration="webhook"'
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def heard_again(project: Project) -> bool:
    """Say whether what is in the table was told more than once."""
    with closing(sqlite3.connect(project.folder / "db.sqlite3")) as database:
        query = "select count(*) from etl_telemetry_alert where heard_at > received_at"
        return bool(database.execute(query).fetchone()[0])


def becomes(project: Project, expected: Rows) -> None:
    """Wait until the table is so."""
    eventually(f"the table has {expected}", lambda: stored(project) == expected)


def test_begin_and_end_arrive_once_over_restarts(project: Project, tmp_path: Path) -> None:
    """Restarted, or killed and without its memory of what it sent: no news comes twice."""
    assert project.manage("migrate").returncode == 0
    with delivering(project, tmp_path) as alertmanager:
        tell(alertmanager, "TaskStalled")
        becomes(project, [("TaskStalled", "firing", 1)])
        alertmanager.restart()
        tell(alertmanager, "TaskStalled")
        alertmanager.kill()
        (alertmanager.folder / "data" / "nflog").unlink()
        alertmanager.start()
        tell(alertmanager, "TaskStalled")
        eventually("it sends again", lambda: sent(alertmanager) >= 1)
        eventually("that was taken", lambda: heard_again(project))
        tell(alertmanager, "TaskStalled", ended=True)
        begun, ended = ("TaskStalled", "firing", 1), ("TaskStalled", "resolved", 1)
        becomes(project, [begun, ended])
    records = project.query.logs(logger="etl_telemetry")
    assert [one.event_name for one in records] == ["alert_firing", "alert_resolved"]
    with closing(sqlite3.connect(project.folder / "db.sqlite3")) as database:
        query = "select starts_at, receiver, run_id, ends_at > starts_at from etl_telemetry_alert"
        rows = set(database.execute(query + " where status = 'resolved'"))
    naive = BEGIN.replace(tzinfo=None)
    assert rows == {(str(naive), "platform", "42", 1)}


def after_a_new_token(project: Project, folder: Path) -> None:
    """Give Alertmanager the right token; it is not restarted."""
    (folder / "webhook-token").write_text(f"{TOKEN}\n")


def after_migrate(project: Project, folder: Path) -> None:
    """Make the table."""
    assert project.manage("migrate").returncode == 0


@pytest.mark.parametrize(
    ("token", "mend"), [(OTHER, after_a_new_token), (TOKEN, after_migrate)], ids=["401", "503"]
)
def test_what_was_refused_arrives_later(
    token: str, mend: Callable[[Project, Path], None], project: Project, tmp_path: Path
) -> None:
    """A wrong token or a missing table loses no alert: Alertmanager comes again."""
    if mend is after_a_new_token:
        after_migrate(project, tmp_path)
    with delivering(project, tmp_path, token=token) as alertmanager:
        tell(alertmanager, "ServiceDown")
        eventually("it was refused", lambda: sent(alertmanager, "requests_failed") >= 1)
        mend(project, tmp_path)
        becomes(project, [("ServiceDown", "firing", 1)])


def test_a_group_of_any_size_is_taken(project: Project, tmp_path: Path) -> None:
    """Of 1,500 alerts at once 1,000 arrive, and a log record tells that others were left out."""
    assert project.manage("migrate").returncode == 0
    with delivering(project, tmp_path) as alertmanager:
        alerts = [
            {
                "labels": {"alertname": "HighRejectedRows", "pipeline_name": f"p{number}"},
                "annotations": {"summary": "x" * 1_000},
            }
            for number in range(1_500)
        ]
        http.send("POST", f"{alertmanager.address('http')}/api/v2/alerts", alerts)
        eventually("they arrive", lambda: sum(count for *_, count in stored(project)) >= 1_000)
        # More than a number of rows: the server must not end before it has told.
        (told, *_) = eventually("it is told", lambda: left_out(project))
    assert 0 < told <= 500


def left_out(project: Project) -> list[Any]:
    """Return how many alerts were left out, by the log records that say so."""
    records = project.query.logs(logger="etl_telemetry", limit=None)
    return [one.attributes["count"] for one in records if one.event_name == "alerts_left_out"]
