"""Who comes in, what is said to the others, and the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.vary import vary_on_cookie

from etl_telemetry.django import mapping
from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.dashboard import access, plain, rendering, tables, window
from etl_telemetry.django.dashboard.access import Access
from etl_telemetry.django.dashboard.addresses import CAPTURED
from etl_telemetry.django.dashboard.models import Snapshot

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
"""Nothing inline, nothing from elsewhere."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_READ = ("GET", "HEAD")


@dataclass(slots=True)
class Refused(Exception):  # noqa: N818 - an answer, not a mistake of ours
    """Why there is no page: told to whoever asks."""

    status: HTTPStatus
    """Status of the answer."""
    message: str
    """What to tell, in one or more sentences."""
    details: list[str] = field(default_factory=list)
    """What to do about it, line by line."""


def no_such() -> Refused:
    """Return what is said alike of what does not exist and of what is somebody else's."""
    return Refused(HTTPStatus.NOT_FOUND, "There is no such page, or it is not yours to see.")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who may see something, with what was asked for."""

    request: HttpRequest
    """The request."""
    access: Access
    """What may be seen."""
    window: window.Window
    """How far to look back."""
    number: int
    """Which part of a list."""
    search: str
    """Text in the names of pipelines."""
    order: str
    """Order of the table of pipelines."""


def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Guard a view that answers with HTML: strangers are sent to the login."""

    @wraps(view)
    def guarded(request: HttpRequest, /, **kwargs: Any) -> HttpResponse:
        if not _is_known(request):
            return redirect_to_login(request.get_full_path())
        try:
            return view(_enter(request), **_own(kwargs))
        except Refused as refused:
            return rendering.refused(request, refused.status, refused.message, refused.details)

    return _door(guarded)


def api(view: Callable[..., Any]) -> Callable[..., HttpResponse]:
    """Guard a view that returns what becomes JSON: strangers are told 401."""

    @wraps(view)
    def guarded(request: HttpRequest, /, **kwargs: Any) -> HttpResponse:
        try:
            if not _is_known(request):
                return _said(Refused(HTTPStatus.UNAUTHORIZED, "Sign in first."))
            return JsonResponse(plain.plain(view(_enter(request), **_own(kwargs))))
        except Refused as refused:
            return _said(refused)

    return _door(guarded)


def _said(refused: Refused) -> HttpResponse:
    told = {"status": refused.status.value, "message": refused.message}
    return JsonResponse({"error": told}, status=refused.status)


def _door(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Add the headers of every answer; the login is ours, not `LoginRequiredMiddleware`'s."""

    @wraps(view)
    def answering(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = view(request, **kwargs)
        for name, value in HEADERS.items():
            response[name] = value
        return response

    return login_not_required(never_cache(vary_on_cookie(answering)))


def _is_known(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)
    return user is not None and user.is_authenticated


def _enter(request: HttpRequest) -> Visit:
    """Return what may be seen and what was asked for; raise `Refused`."""
    if request.method not in _READ:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered.")
    _refuse_unready()
    allowed = access.of(request.user)
    if not allowed.sees_any:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "You belong to no organization whose pipelines could be shown.",
            ["Ask whoever manages this platform to make you a member of one."],
        )
    try:
        return Visit(
            request,
            allowed,
            window.window(request.GET),
            window.page(request.GET),
            window.search(request.GET),
            window.order(request.GET),
        )
    except window.WrongParameterError as wrong:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{wrong}.") from None


def _refuse_unready() -> None:
    if not mapping.usable():
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "This dashboard does not know your models of pipelines and runs yet.",
            [
                "Set ETL_TELEMETRY['MODELS'] in Django's settings: 'pipeline' and 'run' at least.",
                "Then `manage.py check` says whether they fit.",
            ],
        )
    if tables.lacking([Alert, Snapshot]):
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The tables of the dashboard are not there yet.",
            ["Run `manage.py migrate etl_telemetry`."],
        )


def _own(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return what our own paths captured; what the project's did is the project's."""
    return {
        name.removeprefix(CAPTURED): value
        for name, value in kwargs.items()
        if name.startswith(CAPTURED)
    }
