"""What only RabbitMQ's management API tells: what workers hold, and how old the oldest message is.

AMQP itself has no question for either. The age comes from the property `timestamp` of the first
message, which a publisher with telemetry writes (`outgoing.py`); RabbitMQ tells it for classic
queues while that message is in its memory.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from celery import Celery

from etl_telemetry import values
from etl_telemetry.catalogue import QUEUE_NAME, QUEUE_OLDEST_AGE, UNACKED
from etl_telemetry.celery.queues import names
from etl_telemetry.observer import Reading, UnreadableError

_SECONDS = 3.0
"""For the whole answer."""
_MAX_BYTES = 8 * 2**20
_CHUNK = 2**16
_COLUMNS = "name,messages_unacknowledged,head_message_timestamp"


class _NoRedirect(HTTPRedirectHandler):
    """Take a redirect for an error: urllib would send the password along, to any host."""

    def redirect_request(self, *_: Any) -> None:
        """Return no other request."""


class Management:
    """Read the queues of an app from the management API of its broker."""

    def __init__(self, app: Celery, url: str, extra: Iterable[str] = ()) -> None:
        """`url` is that of the management plugin; without a user in it, the broker's is taken."""
        self._app = app
        self._extra = tuple(extra)
        broker = app.connection_for_read()
        parts = urlsplit(url)
        user = unquote(parts.username or "") or broker.userid or "guest"
        password = unquote(parts.password or "") if parts.username else broker.password or "guest"
        path = f"{parts.path.rstrip('/')}/api/queues/{quote(broker.virtual_host or '/', safe='')}"
        host = parts.netloc.rpartition("@")[2]
        self._request = Request(  # noqa: S310 - the configuration allows http and https only
            urlunsplit((parts.scheme, host, path, f"columns={_COLUMNS}", "")),
            headers={"Authorization": f"Basic {_basic(user, password)}"},
        )
        # The environment's proxy is for the world outside: the broker's password is not.
        self._opener = build_opener(ProxyHandler({}), _NoRedirect)

    def read(self) -> list[Reading]:
        """Return what it knows of the app's queues, some seconds old.

        Raises `UnreadableError` or `OSError` where it does not answer as expected.
        """
        known = {queue["name"]: queue for queue in self._queues()}
        here = [known[name] for name in names(self._app, self._extra) if name in known]
        held = [values.count(queue.get("messages_unacknowledged")) for queue in here]
        numbers = [number for number in held if number is not None]
        # Without its statistics RabbitMQ tells no number, which is not 0.
        is_whole = bool(held) and len(numbers) == len(held)
        found = [Reading(UNACKED, sum(numbers))] if is_whole else []
        now = time.time()
        for queue in here:
            published = values.seconds(queue.get("head_message_timestamp"))
            if published is not None:
                labels = {QUEUE_NAME: queue["name"]}
                found.append(Reading(QUEUE_OLDEST_AGE, max(0.0, now - published), labels))
        return found

    def _queues(self) -> list[Mapping[str, Any]]:
        try:
            told = json.loads(self._answer())
        except HTTPError as error:
            with error:
                raise UnreadableError(f"RabbitMQ's management API answered {error.code}") from None
        except HTTPException as error:
            kind = type(error).__name__
            raise UnreadableError(
                f"RabbitMQ's management API did not answer in HTTP: {kind}"
            ) from None
        except ValueError:
            told = None
        if not isinstance(told, list):
            raise UnreadableError("RabbitMQ's management API answered something else than queues")
        return [queue for queue in told if isinstance(queue, dict) and "name" in queue]

    def _answer(self) -> bytes:
        end = time.monotonic() + _SECONDS
        body = bytearray()
        with self._opener.open(self._request, timeout=_SECONDS) as answer:
            while chunk := answer.read1(_CHUNK):  # The timeout is that of one read.
                body += chunk
                if len(body) > _MAX_BYTES:
                    told = f"answered more than {_MAX_BYTES} bytes"
                    raise UnreadableError(f"RabbitMQ's management API {told}")
                if time.monotonic() > end:
                    told = f"took longer than {_SECONDS:g} s"
                    raise UnreadableError(f"RabbitMQ's management API {told}")
        return bytes(body)


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
