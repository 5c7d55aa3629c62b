"""What a delivery is answered, from the door to the table."""

from __future__ import annotations

import logging
from http import HTTPStatus
from math import ceil

from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError

from etl_telemetry import guard
from etl_telemetry.catalogue import ALERT_RECEIVER, ERROR_TYPE, SCOPE
from etl_telemetry.config import Config
from etl_telemetry.django.alerts import payload, store
from etl_telemetry.django.alerts.access import Access
from etl_telemetry.django.alerts.announce import announce
from etl_telemetry.django.alerts.rate import Rate

_RETRY_AFTER = 10
_log = logging.getLogger(SCOPE)


class Webhook:
    """The webhook of this process, made once from the configuration."""

    def __init__(self, config: Config) -> None:
        self._access = Access(config)
        self._rate = Rate(config.alert_rate)
        self._max_bytes = config.alert_max_bytes
        self._retention_days = config.alert_retention_days

    def answer(self, request: HttpRequest) -> JsonResponse:
        """Answer a request; whatever happens, the sender is told whether to come again."""
        # A mistake of ours must not look like one of the sender's: it comes again.
        response = _refused(HTTPStatus.SERVICE_UNAVAILABLE, "the alerts could not be taken now")
        with guard.absorb("the alert webhook"):
            response = self._answer(request)
        if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            response["Retry-After"] = str(_RETRY_AFTER)
        return response

    def _answer(self, request: HttpRequest) -> JsonResponse:
        if request.method != "POST":
            response = _refused(HTTPStatus.METHOD_NOT_ALLOWED, "only POST is answered")
            response["Allow"] = "POST"
            return response
        refusal = self._access.refusal(request.META)
        if refusal is not None:
            response = _refused(HTTPStatus.UNAUTHORIZED, refusal)
            response["WWW-Authenticate"] = "Bearer"
            return response
        seconds = self._rate.wait()
        if seconds:
            response = _refused(HTTPStatus.TOO_MANY_REQUESTS, "too many deliveries in a minute")
            response["Retry-After"] = str(ceil(seconds))
            return response
        return self._take(request)

    def _take(self, request: HttpRequest) -> JsonResponse:
        try:
            body = _read(request, self._max_bytes)
            if body is None:
                reason = f"a delivery may have at most {self._max_bytes} bytes"
                return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
            delivery = payload.parse(body)
        except UnreadablePostError:
            return _refused(HTTPStatus.BAD_REQUEST, "the body ended too early")
        except payload.BrokenPayload as broken:
            return _refused(HTTPStatus.BAD_REQUEST, str(broken))
        try:
            new = store.keep(delivery)
        except (Error, ImproperlyConfigured) as error:
            # The type only: a message of the database holds values of the row.
            _log.warning("alerts_not_stored", extra={ERROR_TYPE: type(error).__name__})
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "the alerts could not be stored now")
        if delivery.left_out:
            extra = {ALERT_RECEIVER: delivery.receiver, "count": delivery.left_out}
            _log.warning("alerts_left_out", extra=extra)
        if new:
            announce(new)
            with guard.absorb("deleting old alerts"):
                store.prune(self._retention_days)
        return JsonResponse({"received": len(delivery.alerts), "new": len(new)})


def _read(request: HttpRequest, limit: int) -> bytes | None:
    """Return the body; None, without reading on, where it is larger than the limit.

    Not by `request.body`, which answers a body above DATA_UPLOAD_MAX_MEMORY_SIZE by itself.
    """
    told = str(request.META.get("CONTENT_LENGTH") or "")
    if told.isascii() and told.isdigit() and len(told) > len(str(limit)):
        return None  # Also a number that is too long to be read as one.
    if told.isascii() and told.isdigit() and int(told) > limit:
        return None
    body = request.read(limit + 1)
    return body if len(body) <= limit else None


def _refused(status: HTTPStatus, reason: str) -> JsonResponse:
    return JsonResponse({"error": reason}, status=status)
