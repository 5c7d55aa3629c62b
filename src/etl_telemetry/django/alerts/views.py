"""The view of the webhook.

One view for WSGI and ASGI: it waits for the database, which Django asks from a thread in either
case.
"""

from __future__ import annotations

from functools import cache

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django.alerts.webhook import Webhook


# It knows the sender by a token, never by a cookie.
@csrf_exempt
@login_not_required
def alert_webhook(request: HttpRequest) -> JsonResponse:
    """Take what Alertmanager sends (webhook, version 4).

    200: taken. 400, 401, 405, 413: refused, with the reason. 429, 503: not now; Alertmanager
    comes again.
    """
    return _webhook().answer(request)


@cache
def _webhook() -> Webhook:
    telemetry = setup.active()
    return Webhook(Config() if telemetry is None else telemetry.config)


# What was stored must be there before it is announced, also with ATOMIC_REQUESTS.
for _alias in connections:
    transaction.non_atomic_requests(using=_alias)(alert_webhook)
