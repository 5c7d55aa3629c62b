"""Play all scenarios in one world, WSGI or ASGI."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from support.telemetry import telemetry

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRUSTED = "10.1.2.3"


class Kept(logging.Handler):
    """Keep records with their fields."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        fields = {k: v for k, v in vars(record).items() if "." in k or k == "duration"}
        self.records.append({"name": record.msg, "level": record.levelname, "fields": fields})


def scenarios(world: Any) -> dict[str, Callable[[], Any]]:
    """Name what is asked."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    user = User.objects.create_user("ada", "a@b.example", "pw")
    session = SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.create()
    cookie = f"sessionid={session.session_key}"
    parent = f"00-{TRACE}-{SPAN}-01"
    send = world.send
    found: dict[str, Callable[[], Any]] = {
        "plain": lambda: send("/flights/AA/?token=secret"),
        "root": lambda: send("/"),
        "post": lambda: send("/", method="POST"),
        "odd method": lambda: send("/", method="BREW"),
        "no route": lambda: send("/nowhere/"),
        "missing": lambda: send("/missing/"),
        "bad host": lambda: send("/", host="evil.example"),
        "exception": lambda: send("/boom/"),
        "short circuit": lambda: send("/blocked/"),
        "middleware exception": lambda: send("/gate-breaks/"),
        "stream": lambda: send("/stream/"),
        "stream fails": lambda: send("/stream/broken/"),
        "client leaves": lambda: send("/stream/", parts=1),
        "head of a stream": lambda: send(
            "/stream/", method="HEAD", parts=0 if not world.asgi else None
        ),
        "download": lambda: send("/download/"),
        "many queries": lambda: send("/many/"),
        "allowed queries": lambda: send("/allowed/"),
        "async": lambda: send("/async/"),
        "slow, user not asked": lambda: send("/slow/nobody/", cookie=cookie),
        "slow, user loaded": lambda: send("/slow/user/", cookie=cookie),
        "slow, user set": lambda: send("/slow/new/"),
        "excluded": lambda: send("/healthz"),
        "stranger": lambda: send("/", traceparent=parent, baggage="user=ada"),
        "trusted": lambda: send("/", traceparent=parent, peer=TRUSTED),
        "trusted, mapped": lambda: send("/", traceparent=parent, peer=f"::ffff:{TRUSTED}"),
        "socket": lambda: send("/", traceparent=parent, peer=""),
    }
    if world.asgi:
        found["cancelled"] = lambda: send("/wait/", parts=0)
        found["not text"] = lambda: send("/?\xff\xfe")
    return found


def main(name: str) -> None:
    """Play all scenarios in one world."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "support.django_site.settings"

    seen = telemetry()  # First: our set-up then writes through these providers.
    from support.django_site.ask import World
    from support.django_site.settings import DATABASES

    world = World(name)
    from django.core.management import call_command
    from django.db import connections
    from opentelemetry import context as context_api

    keep = [connections[alias].cursor() for alias in DATABASES]  # Memory lasts as long as they do.
    call_command("migrate", verbosity=0)
    logs = Kept()
    logging.getLogger("etl_telemetry").addHandler(logs)
    logging.getLogger("django").setLevel("CRITICAL")
    report = {}
    for scenario, play in scenarios(world).items():
        seen.clear()
        logs.records.clear()
        before = context_api.get_current()
        began = time.time_ns()
        status, headers, body = play()
        report[scenario] = {
            "status": status,
            "headers": headers,
            "body": body,
            "seconds": (time.time_ns() - began) / 1e9,
            "clean": context_api.get_current() == before,
            "spans": [_span(span) for span in seen.spans()],
            "requests": [
                dict(key) | {"count": point.count, "sum": point.sum}
                for key, point in seen.points().get("http.server.request.duration", {}).items()
            ],
            "logs": list(logs.records),
        }
    print(json.dumps(report, default=str))
    del keep


def _span(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind.name,
        "status": span.status.status_code.name,
        "error": span.status.description,
        "attributes": dict(span.attributes),
        "events": [event.attributes["exception.type"] for event in span.events],
        "trace": f"{span.context.trace_id:032x}",
        "parent": span.parent and f"{span.parent.span_id:016x}",
        "links": [f"{link.context.span_id:016x}" for link in span.links],
        "seconds": (span.end_time - span.start_time) / 1e9,
    }


if __name__ == "__main__":
    main(sys.argv[1])
