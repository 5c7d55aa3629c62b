"""A client that goes away in the middle of a response, with real servers and sockets."""

from __future__ import annotations

import socket
import sys
from urllib.parse import urlsplit

import pytest

from support.django_project import PATIENCE, Project, fresh, project, wait_for

__all__ = ["fresh", "project"]

URLS = """
import asyncio, time
from django.http import StreamingHttpResponse
from django.urls import path

PARTS = 2_000

def parts():
    for number in range(PARTS):
        yield "x" * 10_000
        time.sleep(0.01)

async def async_parts():
    for number in range(PARTS):
        yield "x" * 10_000
        await asyncio.sleep(0.01)

def export(request):
    return StreamingHttpResponse(async_parts() if hasattr(request, "scope") else parts())

async def wait(request):
    await asyncio.sleep(600)

urlpatterns = [path("export/", export), path("wait/", wait)]
"""
SERVERS = {
    "gunicorn": ("gunicorn", "shop.wsgi", "--bind", "127.0.0.1:{port}", "--workers", "1"),
    "uvicorn": ("uvicorn", "shop.asgi:application", "--port", "{port}"),
}
LEAVE_EARLY = [
    ("gunicorn", "/export/", True, (200, "client_disconnected")),
    ("uvicorn", "/export/", True, (200, "client_disconnected")),
    ("uvicorn", "/wait/", False, (None, "asyncio.exceptions.CancelledError")),
]


@pytest.mark.parametrize(("server", "path", "reads", "end"), LEAVE_EARLY)
def test_a_client_that_goes_away_ends_the_request(
    project: Project, server: str, path: str, *, reads: bool, end: tuple[int | None, str]
) -> None:
    """The span ends then, not after minutes, and says why; the measurement too."""
    (project.folder / "shop/urls.py").write_text(URLS)
    with project.serving(sys.executable, "-m", *SERVERS[server]) as address:
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port), PATIENCE) as client:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            client.sendall(request.encode())
            if reads:
                assert client.recv(1_000).startswith(b"HTTP/1.1 200 OK")
            else:
                client.settimeout(1.0)
                with pytest.raises(TimeoutError):
                    client.recv(1)
        wait_for(
            lambda: any(span.kind == "server" for span in project.query.spans()),
            lambda: (project.query.counts(), (project.folder / "server.log").read_text()),
        )
    (span,) = [span for span in project.query.spans() if span.kind == "server"]
    told = span.attributes.get("http.response.status_code"), span.attributes["error.type"]
    assert (span.name, span.status, told) == (f"GET {path[1:]}", "unset", end)
    measured = project.query.sum_latest("http.server.request.duration", by=("error.type",))
    assert {key: value.count for key, value in measured.items() if value.count} == {(end[1],): 1}
