"""Views that end a run inside of the request's transaction (`ATOMIC_REQUESTS`), and a login."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import authenticate, login
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from etl_telemetry.django.ledger import finish_run


def finish(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """End a run; fail afterwards where that is asked for."""
    ended = finish_run(run_id, "success")
    if "fail" in request.GET:
        raise ValueError("the view failed after the run had ended")
    return HttpResponse(f"{ended}")


def sign_in(request: HttpRequest) -> HttpResponse:
    """Log in."""
    user = authenticate(request, username="ann", password="x")
    assert user is not None
    login(request, user)
    return HttpResponse("welcome")


urlpatterns = [
    path("finish/<uuid:run_id>/", finish),
    path("login/", sign_in),
    path("monitoring/", include("etl_telemetry.django.urls")),
    path("<slug:place>/nested/", include("nested")),
    path("in/<slug:key>/<slug:name>/<slug:digest>/<slug:_>/", include("nested", namespace="odd")),
]
