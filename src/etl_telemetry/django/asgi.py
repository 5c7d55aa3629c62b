"""ASGI: export what waits when the server says that it ends.

uvicorn ends by sending itself the signal that asked it to, so that exit handlers
never run (``uvicorn.server.Server.capture_signals``): up to 5 s of spans and a
minute of metrics would be lost at each deployment. It does announce its end over
ASGI's lifespan protocol, which Django refuses ("Django can only handle ASGI/HTTP
connections, not lifespan"). So we answer it. To be deleted when Django answers it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import wraps
from typing import Any

from etl_telemetry import guard, setup

_HANDLER = "django.core.handlers.asgi"
_ANSWERED = "_etl_telemetry_lifespan"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Message, Receive, Send], Awaitable[None]]


def answer_lifespan() -> None:
    """Let Django's ASGI handler answer the lifespan protocol; once is enough, more does no harm.

    Only where the handler is loaded: `django.core.asgi` does so before it loads the apps.
    """
    module = sys.modules.get(_HANDLER)
    if module is None or hasattr(module.ASGIHandler, _ANSWERED):
        return
    handler: Any = module.ASGIHandler
    handler.__call__ = _answering(handler.__call__)
    setattr(handler, _ANSWERED, True)


def _answering(handle: Application) -> Application:
    @wraps(handle)
    async def call(self: Any, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await handle(self, scope, receive, send)
            return
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await asyncio.to_thread(_deliver)
        await send({"type": "lifespan.shutdown.complete"})

    return call


def _deliver() -> None:
    """Flush rather than shut down: a server may begin and end more than once in a process."""
    with guard.absorb("the end of the ASGI server"):
        telemetry = setup.active()
        if telemetry is not None:
            telemetry.force_flush()
