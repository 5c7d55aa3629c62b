"""Read a paginated HTTP API through an HTTP connector."""

from __future__ import annotations

import logging
from typing import Any

import requests
from django.conf import settings

from apps.connectors.errors import RateLimited, SourceError, SourceUnavailable
from apps.connectors.models import Connector
from etl_telemetry import connector_operation

logger = logging.getLogger(__name__)

TIMEOUT = (3.05, 30)
"""Seconds to connect and to read."""


def session(connector: Connector) -> requests.Session:
    """Return a session that keeps its connection and carries the connector's token.

    That its credentials are used is in the audit trail: once, not for each page.
    """
    new = requests.Session()
    new.headers["Accept"] = "application/json"
    token = connector.credentials.get("token")
    if token:
        with connector_operation("http", "sign_in", credentials=connector.pk):
            new.headers["Authorization"] = f"Bearer {token}"
    return new


def get_page(http: requests.Session, connector: Connector, page: int) -> dict[str, Any]:
    """Return one page.

    Raises `RateLimited` on 429, `SourceUnavailable` on network errors and 5xx, and
    `SourceError` on any other refusal.
    """
    url = connector.options["url"].format(platform=settings.PLATFORM_URL)
    with connector_operation("http", "get_page"):
        try:
            response = http.get(url, params={"page": page}, timeout=TIMEOUT)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise SourceUnavailable(f"{url}: {type(error).__name__}") from error
        if response.status_code == requests.codes.too_many_requests:
            seconds = float(response.headers.get("Retry-After", 1))
            logger.warning("source_is_busy", extra={"page": page, "retry_after": seconds})
            raise RateLimited(f"{url} asks to come back in {seconds:g} s", seconds)
        if response.status_code >= requests.codes.server_error:
            raise SourceUnavailable(f"{url} answered {response.status_code}")
        if not response.ok:
            raise SourceError(
                f"{url} answered {response.status_code} {response.reason}. "
                f"Check the url and the token of connector {connector.name!r}."
            )
        return response.json()
