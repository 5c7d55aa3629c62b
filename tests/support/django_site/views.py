"""What the site does: one view for each way in which a request can go."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.urls import path

from etl_telemetry import audit, begin_run
from support.django_site.settings import SECRET


def Gate(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:  # noqa: N802 - a middleware
    """Answer some requests before Django's own middleware sees them; fail on others."""

    def gate(request: Any) -> Any:
        if request.path == "/blocked/":
            return HttpResponse("no", status=403)
        if request.path == "/gate-breaks/":
            raise KeyError("gate")
        return get_response(request)

    return gate


def query(number: int, alias: str = "default") -> None:
    """Send a statement with a value in it."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {number} WHERE '{SECRET}' <> ''")


def ok(request: Any, carrier: str = "") -> Any:
    """Answer."""
    return HttpResponse("ok")


async def async_ok(request: Any) -> Any:
    """Answer, after queries in other threads."""
    await User.objects.acount()
    ask = sync_to_async(query, thread_sensitive=False)
    await asyncio.gather(*(ask(number) for number in range(12)))
    return HttpResponse("ok")


def missing(request: Any) -> Any:
    """Say that there is nothing."""
    raise Http404


def boom(request: Any) -> Any:
    """Fail."""
    raise ValueError("no rows")


def many(request: Any) -> Any:
    """Send twelve statements that differ in their values only, over two aliases."""
    for number in range(11):
        query(number)
    query(11, "warehouse")
    return ok(request)


def slow(request: Any, who: str) -> Any:
    """Take longer than the limit, as part of a run, with or without looking at the user."""
    if who == "user":
        assert request.user.is_authenticated
    if who == "new":
        request.user = User(pk=77)
    # Somebody is named: the audit event of the run would ask who acts, and look the user up.
    with audit.acting("7"), begin_run("daily", organization="acme", run_id="r1"):
        time.sleep(0.01)
    return ok(request)


def _parts(*, fail: bool) -> Iterator[str]:
    for number in range(3):
        query(number)
        yield f"{number};"
        time.sleep(0.005)
        if fail:
            raise RuntimeError("lost the file")


async def _async_parts(*, fail: bool) -> AsyncIterator[str]:

    for number in range(3):
        await sync_to_async(query)(number)
        yield f"{number};"
        await asyncio.sleep(0.005)
        if fail:
            raise RuntimeError("lost the file")


def stream(request: Any, *, fail: bool = False) -> Any:
    """Send parts that are made while they are sent, in the way of this world."""
    made = _async_parts if hasattr(request, "scope") else _parts
    return StreamingHttpResponse(made(fail=fail))


def download(request: Any) -> Any:
    """Send a file."""
    return FileResponse(io.BytesIO(b"a,b\n"))


async def wait(request: Any) -> Any:
    """Wait for ever."""
    await asyncio.sleep(600)


urlpatterns = [
    path("", ok),
    path("flights/<str:carrier>/", ok),
    path("async/", async_ok),
    path("missing/", missing),
    path("boom/", boom),
    path("many/", many),
    path("allowed/", many),
    path("slow/<str:who>/", slow),
    path("stream/", stream),
    path("stream/broken/", stream, {"fail": True}),
    path("download/", download),
    path("wait/", wait),
    path("healthz", many),
]
