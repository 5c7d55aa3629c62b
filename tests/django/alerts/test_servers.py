"""The webhook behind real servers: several processes, WSGI and ASGI."""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from etl_telemetry.pipelines import Run
from support.alerts import TOKEN, alert, deliver, payload, resolved
from support.django_project import Project, fresh, project, wait_for

__all__ = ["fresh", "project"]

SERVERS = {
    "gunicorn": (
        sys.executable, "-m", "gunicorn", "shop.wsgi", "--bind", "127.0.0.1:{port}",
        "--workers", "2", "--threads", "4",
    ),
    "uvicorn": (sys.executable, "-m", "uvicorn", "shop.asgi:application", "--port", "{port}"),
}  # fmt: skip
URLS = """
from django.urls import include
urlpatterns += [path("api/alerts/", include("etl_telemetry.django.alerts.urls"))]
"""
NUMBERS = range(20)


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, project: Project) -> Iterator[str]:
    """Serve a fresh project with the webhook; give its address."""
    project.append("shop/urls.py", URLS)
    assert project.manage("migrate").returncode == 0
    variables = {"ETL_TELEMETRY_ALERT_TOKENS": TOKEN, "ETL_TELEMETRY_ALERT_MAX_BYTES": "100000"}
    with project.serving(*SERVERS[request.param], **variables) as address:
        yield f"{address}/api/alerts/webhook"


def test_many_senders_at_once_bring_each_news_once(url: str, project: Project) -> None:
    """Whichever process takes which delivery: one row and one log record, in the run's trace."""
    labels = {"alertname": "TaskStalled", "pipeline_run_id": "42"}
    begins = payload(*(alert(number, labels=labels) for number in NUMBERS))
    ends = payload(*(resolved(number, labels=labels) for number in NUMBERS))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: deliver(url, body), [begins] * 12 + [ends] * 12))
    assert {status for status, _ in answers} == {200}, answers
    assert sum(answer["new"] for _, answer in answers) == 2 * len(NUMBERS)
    with closing(sqlite3.connect(project.folder / "db.sqlite3")) as database:
        rows = database.execute(
            "select status, count(*), count(distinct fingerprint) from etl_telemetry_alert "
            "group by status order by status"
        ).fetchall()
    assert rows == [("firing", 20, 20), ("resolved", 20, 20)]

    def records() -> list[tuple[str | None, str | None]]:
        found = project.query.logs(logger="etl_telemetry", limit=1_000)
        return [(one.event_name, one.trace_id) for one in found if "alert_" in str(one.body)]

    wait_for(lambda: len(records()) >= 40, (project.folder / "server.log").read_text)
    trace = Run(id="42", name="", organization="", started_ns=0).trace_id
    assert sorted(records(), key=str) == sorted(
        [("alert_firing", trace)] * 20 + [("alert_resolved", trace)] * 20, key=str
    )


def chunked(url: str, size: int) -> tuple[int, str]:
    """Send a body whose length is not told beforehand."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=120)
    body = json.dumps(payload(alert())).encode().ljust(size)
    with closing(connection):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        pieces = (body[i : i + 5_000] for i in range(0, len(body), 5_000))
        connection.request("POST", parts.path, pieces, headers, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["error"] if answer.status != 200 else ""


def test_a_body_of_untold_length(
    url: str, project: Project, request: pytest.FixtureRequest
) -> None:
    """Django reads none under WSGI; under ASGI the limit holds. Alertmanager tells the length."""
    small, large = chunked(url, 1_000), chunked(url, 100_001)
    if "gunicorn" in request.node.name:
        assert small == large == (400, "the body must be JSON: JSONDecodeError")
    else:
        assert small == (200, "")
        assert large == (413, "a delivery may have at most 100000 bytes")
