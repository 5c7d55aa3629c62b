"""Sentry in the same project: both see what they should."""

from __future__ import annotations

import json
import sys

import pytest

from support.django_project import Project, fresh, get, project, wait_for

__all__ = ["fresh", "project"]

# As in Sentry's own guide, but for where its events go.
SENTRY = """
import json, sentry_sdk
from sentry_sdk.transport import Transport

class ToFile(Transport):
    def capture_envelope(self, envelope):
        with open(BASE_DIR / "sentry.jsonl", "a") as file:
            for item in envelope.items:
                if item.type in ("event", "transaction"):
                    file.write(json.dumps(item.payload.json) + "\\n")

sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1", transport=ToFile, traces_sample_rate=1.0,
    auto_session_tracking=False, send_client_reports=False,
)
"""
VIEWS = """
from django.contrib import admin
from django.urls import path

def boom(request):
    raise ValueError("no rows")

urlpatterns = [path("admin/", admin.site.urls), path("boom/", boom)]
"""
SERVERS = {
    "gunicorn": ("gunicorn", "shop.wsgi", "--bind", "127.0.0.1:{port}", "--workers", "1"),
    "uvicorn": ("uvicorn", "shop.asgi:application", "--port", "{port}"),
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("first", ["Sentry", "we"])
def test_sentry_beside_us_keeps_working(project: Project, server: str, first: str) -> None:
    """Its events and transactions are there, so are our spans: each request once, in both."""
    if first == "Sentry":
        project.append("shop/settings.py", SENTRY)
    else:
        project.append("shop/settings.py", "\nfrom etl_telemetry import setup_telemetry\n")
        project.append("shop/settings.py", "setup_telemetry(service_name='shop')\n" + SENTRY)
    (project.folder / "shop/urls.py").write_text(VIEWS)
    with project.serving(sys.executable, "-m", *SERVERS[server]) as address:
        assert (get(f"{address}/admin/login/"), get(f"{address}/boom/")) == (200, 500)
        wait_for(
            lambda: len([s for s in project.query.spans() if s.kind == "server"]) >= 2,
            lambda: (project.query.counts(), (project.folder / "server.log").read_text()),
        )
    spans = {
        span.name: (span.status, span.attributes.get("error.type"))
        for span in project.query.spans()
        if span.kind == "server"
    }
    assert spans == {"GET admin/login/": ("unset", None), "GET boom/": ("error", "ValueError")}
    lines = (project.folder / "sentry.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    errors = [event for event in events if "exception" in event]
    assert [error["exception"]["values"][-1]["type"] for error in errors] == ["ValueError"]
    transactions = sorted(event["transaction"] for event in events if event.get("type"))
    assert transactions == ["/admin/login/", "/boom/"]
