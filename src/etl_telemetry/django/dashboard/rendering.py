"""Turn what was asked into HTML, with an engine of its own: the host's may have none.

Everything is escaped; the one exception is the SVG that `charts` drew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.utils import timezone

from etl_telemetry.django.dashboard import access, assets
from etl_telemetry.django.dashboard.addresses import address
from etl_telemetry.django.dashboard.window import CHOICES

_TEMPLATES = Path(__file__).with_name("templates")


@cache
def _engine() -> Engine:
    # Not a backend of Django's: that would import the template tags of every app of the host.
    return Engine(dirs=[str(_TEMPLATES)], builtins=["etl_telemetry.django.dashboard.filters"])


def render(request: HttpRequest, name: str, facts: Mapping[str, Any]) -> HttpResponse:
    """Render a page."""
    return HttpResponse(_text(request, name, facts))


def refused(
    request: HttpRequest, status: HTTPStatus, message: str, details: Sequence[str]
) -> HttpResponse:
    """Render why there is no page."""
    facts = {"title": status.phrase, "message": message, "details": details}
    return HttpResponse(_text(request, "refused.html", facts), status=status)


def _text(request: HttpRequest, name: str, facts: Mapping[str, Any]) -> str:
    common = {
        "home": address(request, "overview"),
        "stylesheet": assets.address(request, "dashboard.css"),
        "script": assets.address(request, "dashboard.js"),
        "refresh": round(access.config().dashboard_refresh * 1000),
        "choices": CHOICES,
        "zone": timezone.get_current_timezone_name(),
        "rendered_at": timezone.now(),
        "user": getattr(request, "user", None),
    }
    # Numbers are written by our filters: the host's separators would stand in keys and attributes.
    return _engine().get_template(name).render(Context({**common, **facts}, use_l10n=False))
