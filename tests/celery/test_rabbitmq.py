"""RabbitMQ's management API, where it answers as nobody should."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from celery import Celery

from etl_telemetry.catalogue import QUEUE_NAME, QUEUE_OLDEST_AGE, UNACKED
from etl_telemetry.celery import observed, rabbitmq
from etl_telemetry.celery.rabbitmq import Management
from etl_telemetry.config import Config
from etl_telemetry.observer import Reading, UnreadableError

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def api(answer: Answer) -> Iterator[str]:
    """Serve a management API that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def text(body: str) -> Answer:
    """Answer with a text."""

    def answer(asked: BaseHTTPRequestHandler) -> None:
        asked.send_response(200)
        asked.end_headers()
        asked.wfile.write(body.encode())

    return answer


@pytest.fixture
def app() -> Celery:
    """Give an app with two queues, on a broker that nobody asks."""
    made = Celery("shop", broker="amqp://ann:hunter2@broker//", set_as_current=False)
    made.conf.update(task_default_queue="daily", task_routes={"x": {"queue": "slow"}})
    return made


def refused(app: Celery, url: str) -> str:
    """Return why it cannot be read."""
    with pytest.raises(UnreadableError) as error:
        Management(app, url).read()
    return str(error.value)


def test_a_redirect_is_not_followed(app: Celery) -> None:
    """It would take the broker's password to another host."""
    asked: list[str | None] = []
    with api(lambda one: asked.append(one.headers["Authorization"])) as other:

        def moved(one: BaseHTTPRequestHandler) -> None:
            one.send_response(302)
            one.send_header("Location", f"{other}/api/queues/%2F")
            one.end_headers()

        with api(moved) as url:
            assert refused(app, url) == "RabbitMQ's management API answered 302"
    assert asked == []


def test_a_proxy_of_the_environment_is_not_asked(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is inside, and its password is for nobody else."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[str | None] = []
    with (
        api(lambda one: asked.append(one.headers["Authorization"])) as proxy,
        api(text("[]")) as url,
    ):
        monkeypatch.setenv("http_proxy", proxy)
        assert Management(app, url).read() == []
    assert asked == []


def test_an_answer_that_never_ends_is_given_up(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, the whole does not."""
    monkeypatch.setattr(rabbitmq, "_SECONDS", 0.3)
    over = threading.Event()

    def drip(one: BaseHTTPRequestHandler) -> None:
        one.send_response(200)
        one.end_headers()
        end = time.monotonic() + 20
        while not over.wait(0.05) and time.monotonic() < end:
            try:
                one.wfile.write(b" ")
            except OSError:
                return

    with api(drip) as url:
        try:
            assert refused(app, url) == "RabbitMQ's management API took longer than 0.3 s"
        finally:
            over.set()


def test_an_answer_that_is_too_large_is_not_read(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The observer keeps its memory."""
    monkeypatch.setattr(rabbitmq, "_MAX_BYTES", 1_000)
    with api(text(" " * 1_001)) as url:
        assert refused(app, url) == "RabbitMQ's management API answered more than 1000 bytes"
    with api(text(" " * 998 + "[]")) as url:
        assert Management(app, url).read() == []


@pytest.mark.parametrize("body", ["", "{}", "[", "[1"])
def test_what_is_no_list_of_queues_is_an_error(app: Celery, body: str) -> None:
    """A proxy may answer with anything."""
    with api(text(body)) as url:
        told = refused(app, url)
    assert told == "RabbitMQ's management API answered something else than queues"


def test_what_is_not_http_is_an_error(app: Celery) -> None:
    """The port of the broker itself, say."""
    with api(lambda one: one.wfile.write(b"AMQP\0\0\x09\x01\r\n")) as url:
        told = refused(app, url)
    assert told == "RabbitMQ's management API did not answer in HTTP: BadStatusLine"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("[]", []),
        ('[{"name": "other", "messages_unacknowledged": 5}]', []),
        ('[{"name": "daily"}]', []),
        ('[{"name": "daily", "messages_unacknowledged": 5}, {"name": "slow"}]', []),
        (
            '[{"name": "slow", "messages_unacknowledged": 0}, '  # noqa: ISC004 - one text
            '{"name": "daily", "messages_unacknowledged": 5}]',
            [Reading(UNACKED, 5)],
        ),
    ],
)
def test_what_has_no_statistics_is_not_told_as_nothing(
    app: Celery, body: str, told: list[Reading]
) -> None:
    """Just after a start, or with `management_agent.disable_metrics_collector`, there are none."""
    with api(text(body)) as url:
        assert Management(app, url).read() == told


def test_an_age_is_told_without_the_other_statistics(app: Celery) -> None:
    """Each has its own."""
    at = int(time.time()) + 100  # A clock that is ahead: no age is below 0.
    with api(text(f'[{{"name": "daily", "head_message_timestamp": {at}}}]')) as url:
        assert Management(app, url).read() == [
            Reading(QUEUE_OLDEST_AGE, 0.0, {QUEUE_NAME: "daily"})
        ]


@pytest.mark.parametrize(
    ("broker", "read"),
    [
        ("amqp://broker//", {"rabbitmq_api"}),
        ("memory://", {"consumers"}),
        ("redis://r", {"consumers"}),
    ],
)
def test_only_the_api_of_the_broker_itself_is_read(
    broker: str, read: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another broker its numbers would stand beside those of a RabbitMQ that is not asked.

    There the workers say from which queues they take; a RabbitMQ tells it itself.
    """
    app = Celery("shop", broker=broker, set_as_current=False)
    monkeypatch.setattr(observed, "_app", lambda: app)
    found = observed.sources(Config(rabbitmq_api="http://rabbitmq:15672"))
    assert {source.name for source in found} == {"queues", "workers", *read}
