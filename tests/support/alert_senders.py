"""Send to the webhook of this process as WSGI and ASGI servers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from django.test import AsyncClient, Client

from support.alerts import TOKEN

URL = "/api/alerts/webhook"
Answer = tuple[int, dict[str, Any]]
Send = Callable[..., Answer]


def by_wsgi(
    body: object, *, token: str | None = TOKEN, method: str = "POST", **meta: str
) -> Answer:
    """Send through the WSGI handler."""
    client = Client(enforce_csrf_checks=True)
    response = client.generic(method, URL, _bytes(body), "application/json", **_meta(token, meta))
    return response.status_code, response.json() if method != "HEAD" else {}


def by_asgi(
    body: object, *, token: str | None = TOKEN, method: str = "POST", **meta: str
) -> Answer:
    """Send through the ASGI handler."""
    client = AsyncClient(enforce_csrf_checks=True)

    async def send() -> Any:
        # The client for tests takes `META` here, as the other one does.
        headers = {key.removeprefix("HTTP_"): value for key, value in _meta(token, meta).items()}
        return await client.generic(method, URL, _bytes(body), "application/json", headers=headers)

    response = asyncio.run(send())
    return response.status_code, response.json() if method != "HEAD" else {}


SENDERS = {"WSGI": by_wsgi, "ASGI": by_asgi}


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _meta(token: str | None, meta: dict[str, str]) -> dict[str, str]:
    return meta if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}", **meta}
