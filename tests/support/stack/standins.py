"""Stand-ins for Slack, PagerDuty and a mail server: they answer like those, and keep what came."""

from __future__ import annotations

import email.policy
import json
import ssl
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from support.stack import pki, ports

PASSWORD = "word-of-the-mail-server"


@dataclass(frozen=True, slots=True)
class Post:
    """A request that came."""

    path: str
    """Where it went."""
    body: dict[str, Any]
    """Its JSON."""
    headers: dict[str, str]
    """Its headers, by lower-case names."""


class Taker:
    """An HTTP server that takes every POST and gives one answer."""

    def __init__(self, *, status: int, answer: str, media: str) -> None:
        self.posts: list[Post] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                posts.append(Post(self.path, json.loads(body), headers))
                self.send_response(status)
                self.send_header("Content-Type", media)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def slack() -> Taker:
    """Return what answers as an incoming webhook of Slack: anything but `ok` is a failure."""
    return Taker(status=200, answer="ok", media="text/html")


def pagerduty() -> Taker:
    """Return what answers as PagerDuty's Events API v2."""
    return Taker(status=202, answer='{"status": "success"}', media="application/json")


def webhook() -> Taker:
    """Return what answers as the platform's webhook."""
    return Taker(status=200, answer="{}", media="application/json")


@dataclass
class Mailbox:
    """A mail server that speaks STARTTLS, wants a login, and keeps each message."""

    folder: Path
    """Where its certificate is made."""
    messages: list[EmailMessage] = field(default_factory=list)
    """What came."""
    logins: list[tuple[str, str]] = field(default_factory=list)
    """Who signed in, with which password."""

    def __enter__(self) -> Self:
        made = pki.make(self.folder)
        self.authority = made / "ca.crt"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made / "server.crt", made / "server.key")
        (port,) = ports.free(1)
        self._controller = Controller(
            self, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True,
            auth_required=True, authenticator=self._sign_in,
            # Its prompts of LOGIN are not those that Alertmanager knows from real servers.
            auth_exclude_mechanism=["LOGIN"],
        )  # fmt: skip
        self._controller.start()
        self.address = f"127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def _sign_in(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        given = cast("LoginPassword", data)
        login = (given.login.decode(), given.password.decode())
        self.logins.append(login)
        return AuthResult(success=login[1] == PASSWORD)

    async def handle_DATA(  # noqa: N802 -- aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep a message."""
        parser = BytesParser(EmailMessage, policy=email.policy.default)
        self.messages.append(cast("EmailMessage", parser.parsebytes(envelope.content or b"")))
        return "250 OK"
