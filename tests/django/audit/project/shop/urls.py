"""Views of the project."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from etl_telemetry import audit
from etl_telemetry.django.requests import facts
from shop.models import Pipeline


def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in, or answer 401."""
    user = authenticate(request, username=request.GET["name"], password=request.GET["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    return HttpResponse("in")


def sign_in_and_break(request: HttpRequest) -> HttpResponse:
    """Fail to sign in, and roll back."""
    authenticate(request, username=request.GET["name"], password="wrong")
    raise RuntimeError("broken")


def sign_out(request: HttpRequest) -> HttpResponse:
    """Sign out."""
    logout(request)
    return HttpResponse("out")


def switch(request: HttpRequest) -> HttpResponse:
    """Become another user, then nobody; record an event before and after each."""
    resource = {"type": "user", "id": str(request.user.pk)}
    audit.record("looked", resource=resource)
    login(request, User.objects.get(username=request.GET["name"]))
    audit.record("looked", resource=resource)
    known = facts.user_id(request)
    logout(request)
    audit.record("looked", resource=resource)
    return HttpResponse(known)


def create(request: HttpRequest) -> HttpResponse:
    """Create a pipeline, and fail where asked to."""
    made = Pipeline.objects.create(name=request.GET["name"])
    if "fail" in request.GET:
        raise RuntimeError("broken")
    return HttpResponse(str(made.pk))


def record(request: HttpRequest) -> HttpResponse:
    """Record an event by hand."""
    audit.record("report_downloaded", resource={"type": "report", "id": 1})
    return HttpResponse("done")


@transaction.non_atomic_requests
async def record_async(request: HttpRequest) -> HttpResponse:
    """Do the same from a coroutine."""
    await request.auser()  # type: ignore[attr-defined]
    await sync_to_async(audit.record)("report_downloaded", resource={"type": "report", "id": 1})
    return HttpResponse("done")


@transaction.non_atomic_requests
async def record_wrongly(request: HttpRequest) -> HttpResponse:
    """Record in the coroutine itself."""
    audit.record("report_downloaded", resource={"type": "report", "id": 1})
    return HttpResponse("done")


urlpatterns = [
    path("login", sign_in),
    path("break", sign_in_and_break),
    path("logout", sign_out),
    path("switch", switch),
    path("create", create),
    path("record", record),
    path("async", record_async),
    path("wrong", record_wrongly),
]
