"""The stylesheet and the script, sent by ourselves: pages work before `collectstatic` is set up.

Their addresses change with their content, so that browsers may keep them for good.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from etl_telemetry.django.dashboard import addresses

_FOLDER = Path(__file__).with_name("assets")
_TYPES = {"dashboard.css": "text/css; charset=utf-8", "dashboard.js": "text/javascript"}


@login_not_required
@require_safe
def asset(
    request: HttpRequest, telemetry_digest: str, telemetry_name: str, **_: object
) -> HttpResponse:
    """Send one of the files; nothing in them is secret."""
    name = telemetry_name
    if name not in _TYPES:
        raise Http404(name)
    content, now = _read(name)
    response = HttpResponse(content, content_type=_TYPES[name])
    response["X-Content-Type-Options"] = "nosniff"
    if telemetry_digest == now:
        response["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def address(request: HttpRequest, name: str) -> str:
    """Return where a page finds one of the files."""
    return addresses.address(request, "asset", digest=_read(name)[1], name=name)


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = (_FOLDER / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:16]
