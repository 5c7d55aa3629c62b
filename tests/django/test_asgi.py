"""An ASGI server that ends delivers what waited."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support.django_project import Project, fresh, get, project

__all__ = ["fresh", "project"]

UVICORN = (sys.executable, "-m", "uvicorn", "shop.asgi:application", "--port", "{port}")
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
DRIVEN = """\
import asyncio
from shop.asgi import application

async def main():
    asked = iter(["lifespan.startup", "lifespan.shutdown"])
    async def receive():
        return {"type": next(asked)}
    async def send(message):
        print(message["type"])
    await application({"type": "lifespan"}, receive, send)
    try:
        await application({"type": "websocket"}, receive, send)
    except ValueError as error:
        print(error)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uvicorn_delivers_what_waits_when_it_is_told_to_end(
    project: Project, number: signal.Signals
) -> None:
    """Uvicorn dies of the signal that ended it, so no exit handler runs: the lifespan tells us."""
    with project.serving(*UVICORN, stop=number, **NEVER) as address:
        assert get(f"{address}/admin/login/") == 200
        assert project.query.spans(service="shop") == []
    assert [span.name for span in project.query.spans(service="shop")] == ["GET admin/login/"]
    counted = project.query.sum_latest("http.server.request.duration", by=("http.route",))
    assert [key for key, value in counted.items() if value.count] == [("admin/login/",)]


def test_the_lifespan_is_answered_and_nothing_else_changes(project: Project) -> None:
    """Begin and end are confirmed; what Django refuses besides, it still refuses."""
    done: subprocess.CompletedProcess[str] = project.run(sys.executable, "-c", DRIVEN)
    assert done.stdout.splitlines() == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "Django can only handle ASGI/HTTP connections, not websocket.",
    ], done.stderr
