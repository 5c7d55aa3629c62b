"""Both ways to ask the site: through Django's real handlers, as a server does."""

from __future__ import annotations

import asyncio
import io
import sys
from contextlib import suppress
from typing import Any

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from support.django_site.settings import HOST

Answer = tuple[int | None, dict[str, str], str]


class World:
    """One way to ask the site."""

    def __init__(self, name: str) -> None:
        self.asgi = name == "ASGI"
        if self.asgi:
            self._application: Any = get_asgi_application()
        else:
            self._application = get_wsgi_application()

    def send(self, path: str, *, parts: int | None = None, **options: Any) -> Answer:
        """Send a request; leave after some parts of the answer, None for all of it."""
        return (
            asyncio.run(self._asgi(path, parts, **options))
            if self.asgi
            else self._wsgi(path, parts, **options)
        )

    def _wsgi(
        self,
        path: str,
        parts: int | None,
        *,
        method: str = "GET",
        peer: str = "192.0.2.1",
        **headers: str,
    ) -> Answer:
        plain, _, query_string = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": plain,
            "QUERY_STRING": query_string,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": peer,
            "HTTP_HOST": HOST,
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        begun: list[Any] = []
        response = self._application(environ, lambda *given: begun.extend(given))
        found = []
        try:
            for part in response:
                found.append(part)
                if parts is not None and len(found) == parts:
                    break
        except RuntimeError:
            pass  # A server would cut the connection.
        finally:
            response.close()
        status = int(begun[0].split()[0])
        return status, dict(begun[1]), b"".join(found).decode()

    async def _asgi(
        self,
        path: str,
        parts: int | None,
        *,
        method: str = "GET",
        peer: str = "192.0.2.1",
        **headers: str,
    ) -> Answer:
        plain, _, query_string = path.partition("?")
        named = {"host": HOST, **{name.replace("_", "-"): v for name, v in headers.items()}}
        scope = {
            "type": "http",
            "method": method,
            "path": plain,
            "scheme": "http",
            "http_version": "1.1",
            "query_string": query_string.encode("latin1"),
            "headers": [(n.encode(), v.encode("latin1")) for n, v in named.items()],
            "client": (peer, 1234),
            "server": (HOST, 80),
            "root_path": "",
        }
        gone = asyncio.Event()
        asked = False
        status: int | None = None
        sent: dict[str, str] = {}
        found: list[bytes] = []

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                if parts == 0:
                    asyncio.get_running_loop().call_later(0.05, gone.set)
                return {"type": "http.request", "body": b""}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent.update({n.decode(): v.decode() for n, v in message["headers"]})
                return
            if message.get("body"):
                found.append(message["body"])
            if parts is not None and len(found) == parts:
                gone.set()
                await asyncio.sleep(30)  # Cancelled: nobody takes what is sent.

        with suppress(RuntimeError):  # A server would cut the connection.
            await self._application(scope, receive, send)
        return status, sent, b"".join(found).decode()
