"""Waiting messages, read from the broker: how many, how old, how many are with workers.

| transport        | size                      | oldest            | unacknowledged |
| ---------------- | ------------------------- | ----------------- | -------------- |
| Redis            | its lists, all priorities | end of the lists  | its hash       |
| AMQP             | passive declaration       | `rabbitmq.py`     | `rabbitmq.py`  |
| any virtual one  | its channel's own count   | -                 | -              |

A queue that does not exist has no series; on Redis an empty queue does not exist, and is 0.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from celery import Celery
from kombu.transport import virtual

from etl_telemetry import values
from etl_telemetry.catalogue import (
    MESSAGE_HEADER,
    QUEUE_CONSUMERS,
    QUEUE_NAME,
    QUEUE_OLDEST_AGE,
    QUEUE_SIZE,
    UNACKED,
)
from etl_telemetry.celery.broker import connected
from etl_telemetry.observer import Reading

"""Header in which a publisher with telemetry says when it published (`published_ns`)."""


def names(app: Celery, extra: Iterable[str] = ()) -> list[str]:
    """Return the queues that an app knows: configured, routed to, named by schedules."""
    told: list[object] = list(app.amqp.queues)
    routes = app.conf.task_routes or ()
    for route in routes if isinstance(routes, list | tuple) else (routes,):
        if isinstance(route, Mapping):
            told += [_queue_of(options) for options in route.values()]
    told += [_queue_of(entry.get("options")) for entry in (app.conf.beat_schedule or {}).values()]
    plain = (getattr(name, "name", name) for name in (*told, *extra))
    return list(dict.fromkeys(name for name in plain if isinstance(name, str) and name))


def _queue_of(options: object) -> object:
    return options.get("queue") if isinstance(options, Mapping) else None


class Queues:
    """Read the queues of an app, again and again: it remembers which message was the oldest."""

    def __init__(self, app: Celery, extra: Iterable[str] = ()) -> None:
        self._app = app
        self._extra = tuple(extra)
        self._heads: dict[str, tuple[str, float]] = {}

    def read(self) -> list[Reading]:
        """Return what waits now. Raises what kombu raises where the broker does not answer."""
        queues = names(self._app, self._extra)
        with connected(self._app) as connection:
            channel = connection.default_channel
            if connection.transport.driver_type == "redis":
                return [*_sizes(channel, queues), *self._of_redis(channel, queues)]
            if isinstance(channel, virtual.Channel):
                return list(_sizes(channel, queues))
            return [reading for queue in queues for reading in _declared(connection, queue)]

    def _of_redis(self, channel: Any, queues: Iterable[str]) -> Iterator[Reading]:
        yield Reading(UNACKED, channel.client.hlen(channel.unacked_key))
        heads = {}
        for queue in queues:
            ages = []
            for priority in channel.priority_steps:
                key = channel._q_for_pri(queue, priority)  # noqa: SLF001 - as kombu's own tools
                # The client puts the application's prefix before the keys of few commands only.
                text = channel.client.lindex(f"{channel.global_keyprefix}{key}", -1)
                if text is not None:
                    heads[key], age = self._age(key, text)
                    ages.append(age)
            if ages:
                yield Reading(QUEUE_OLDEST_AGE, max(ages), {QUEUE_NAME: queue})
        self._heads = heads

    def _age(self, key: str, text: str | bytes) -> tuple[tuple[str, float], float]:
        """Return id and first sight of the oldest message of a list, and its age in seconds."""
        now = time.time()
        id_, published = _told(text)
        before, since = self._heads.get(key, ("", now))
        head = (id_, since if id_ == before else now)
        return head, max(0.0, now - (head[1] if published is None else published))


def _sizes(channel: Any, queues: Iterable[str]) -> Iterator[Reading]:
    for queue in queues:
        # Declaring it would make it; kombu's virtual transports have no other question.
        yield Reading(QUEUE_SIZE, channel._size(queue), {QUEUE_NAME: queue})  # noqa: SLF001


def _declared(connection: Any, queue: str) -> Iterator[Reading]:
    """Ask an AMQP broker. For a queue that does not exist it closes the channel: one for each."""
    channel = connection.channel()
    try:
        told = channel.queue_declare(queue=queue, passive=True)
    except connection.channel_errors as error:
        if getattr(error, "reply_code", None) != _NOT_FOUND:
            raise
        return
    yield Reading(QUEUE_SIZE, told.message_count, {QUEUE_NAME: queue})
    yield Reading(QUEUE_CONSUMERS, told.consumer_count, {QUEUE_NAME: queue})
    channel.close()


_NOT_FOUND = 404


def _told(text: str | bytes) -> tuple[str, float | None]:
    """Return the id of a message on Redis, and when it was published in Unix seconds, if told."""
    try:
        message = json.loads(text)
        headers = message["headers"]
        id_ = str(headers.get("id") or message["properties"]["delivery_tag"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(hash(text)), None  # Not one of kombu's: it is told apart, and that is all.
    try:
        header = json.loads(headers[MESSAGE_HEADER])
        ours = header.get("id") == id_
        nanoseconds = values.count(header.get("published_ns")) if ours else None
    except (ValueError, KeyError, TypeError, AttributeError):
        nanoseconds = None
    return id_, None if nanoseconds is None else nanoseconds / 1e9
