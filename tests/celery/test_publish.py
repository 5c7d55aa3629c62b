"""The span of a publish: around the whole attempt, ended whatever happens."""

from __future__ import annotations

import contextvars
import gc
import json
import time
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, group
from kombu.exceptions import OperationalError
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, StatusCode

from etl_telemetry import pipelines
from etl_telemetry.catalogue import RUN_HEADER
from etl_telemetry.runtime import propagation
from support.broker import command
from support.telemetry import Telemetry

Publish = Callable[[Celery], Any]

PUBLISHES: dict[str, Publish] = {
    "delay": lambda app: app.tasks["jobs.add"].delay(1, 2),
    "apply_async": lambda app: app.tasks["jobs.add"].apply_async((1, 2), countdown=5),
    "send_task": lambda app: app.send_task("jobs.add", (1, 2)),
    "send_task by keyword": lambda app: app.send_task(name="jobs.add", args=(1, 2)),
    "send_task of a name that only workers know": lambda app: app.send_task("elsewhere.add"),
    "chain": lambda app: chain(app.tasks["jobs.add"].s(1, 2), app.tasks["jobs.add"].s(3))(),
    "group": lambda app: group(app.tasks["jobs.add"].s(1, 2), app=app)(),
    "signature": lambda app: app.tasks["jobs.add"].s(1, 2).apply_async(),
}

every_publish = pytest.mark.parametrize("publish", PUBLISHES.values(), ids=PUBLISHES)


@pytest.fixture(autouse=True)
def _propagators() -> None:
    propagation.install(["tracecontext", "baggage"])


def test_the_instrumentor_alone_leaves_its_span_current_when_the_broker_refuses(
    refused: Celery, seen: Telemetry
) -> None:
    """The trap itself: with upstream's receivers the next request would become a child."""

    def scenario() -> str:
        with pytest.raises(OperationalError):
            PUBLISHES["delay"](refused)
        return str(getattr(trace.get_current_span(), "name", None))

    refused.set_current()  # Upstream looks tasks up in the current application.
    CeleryInstrumentor().instrument()
    try:
        assert contextvars.copy_context().run(scenario) == "apply_async/jobs.add"
    finally:
        CeleryInstrumentor().uninstrument()
        vars(refused.tasks["jobs.add"]).pop("__otel_task_span", None)
        gc.collect()


@every_publish
@pytest.mark.usefixtures("instrumented")
def test_a_refused_publish_leaves_nothing_behind(
    publish: Publish, refused: Celery, seen: Telemetry
) -> None:
    """The context is what it was before, and the span ends with the error."""
    before = context.get_current()
    with pytest.raises(OperationalError):
        publish(refused)
    assert context.get_current() == before
    (span,) = seen.spans()
    assert span.kind is SpanKind.PRODUCER
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {})["error.type"] == "kombu.exceptions.OperationalError"
    assert [event.name for event in span.events] == ["exception"]


@every_publish
@pytest.mark.usefixtures("instrumented")
def test_a_publish_leaves_nothing_behind(publish: Publish, jobs: Celery, seen: Telemetry) -> None:
    """The same after a success, also for a task that this process does not know."""
    with trace.get_tracer("request").start_as_current_span("GET /"):
        before = context.get_current()
        publish(jobs)
        assert context.get_current() == before
    published, request = (s for s in seen.spans() if s.name.startswith(("apply_async", "GET /")))
    assert published.parent == request.context
    assert published.status.status_code is StatusCode.UNSET


@pytest.mark.usefixtures("instrumented")
def test_a_publish_span_tells_what_was_sent_and_where(jobs: Celery, seen: Telemetry) -> None:
    """The whole span, as the catalogue declares it."""
    sent = jobs.tasks["jobs.add"].delay(1, 2)
    (span,) = seen.spans()
    assert (span.name, dict(span.attributes or {})) == (
        "apply_async/jobs.add",
        {
            "messaging.system": "celery",
            "messaging.operation.type": "send",
            "messaging.operation.name": "apply_async",
            "messaging.message.id": sent.id,
            "messaging.destination.name": "jobs",
            "task.name": "jobs.add",
        },
    )


@pytest.mark.usefixtures("instrumented")
def test_the_message_carries_trace_and_baggage(jobs: Celery, seen: Telemetry) -> None:
    """The broker is ours, so the baggage goes along; the parent is the publish span."""
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        jobs.tasks["jobs.add"].delay(1, 2)
    finally:
        context.detach(token)
    (span,) = seen.spans()
    headers = sent_headers(jobs)
    assert span.context is not None
    assert headers["traceparent"].split("-")[1:3] == [
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
    ]
    assert headers["baggage"] == "tenant=acme"
    assert RUN_HEADER not in headers


@pytest.mark.usefixtures("instrumented")
def test_inside_a_run_the_publish_belongs_to_the_run(jobs: Celery, seen: Telemetry) -> None:
    """The span is a child of the run's root, in its trace, and the message carries the run."""
    with pipelines.begin_run("daily", organization="acme", run_id=7) as run:
        jobs.tasks["jobs.add"].delay(1, 2)
    (span,) = seen.spans()
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (
        run.span_context.trace_id,
        run.span_context.span_id,
    )
    headers = sent_headers(jobs)
    assert pipelines.Run.from_header(headers[RUN_HEADER]) == run
    assert headers["tracestate"] == "etl=run"


@pytest.mark.usefixtures("instrumented")
def test_suppressed_instrumentation_sends_the_message_as_it_is(
    jobs: Celery, seen: Telemetry
) -> None:
    """A block that the application excluded makes no span and adds no header."""
    with suppress_instrumentation():
        jobs.tasks["jobs.add"].delay(1, 2)
    assert seen.spans() == ()
    assert not {"traceparent", "baggage", RUN_HEADER} & set(sent_headers(jobs))


@pytest.mark.usefixtures("instrumented")
def test_an_error_of_ours_never_reaches_the_publisher(
    jobs: Celery, seen: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A propagator that fails costs the headers, not the message."""
    monkeypatch.setattr("opentelemetry.propagate.inject", lambda *_, **__: 1 / 0)
    sent = jobs.tasks["jobs.add"].delay(1, 2)
    assert sent_headers(jobs)["id"] == sent.id


def sent(app: Celery) -> dict[str, Any]:
    """Return the only message in the queue."""
    port = int(str(app.conf.broker_url).rsplit(":", 1)[1].partition("/")[0])
    reply = command(port, b"LRANGE", b"jobs", b"0", b"-1")
    assert reply.startswith(b"*1\r\n"), reply
    message: dict[str, Any] = json.loads(reply.split(b"\r\n", 2)[2].rpartition(b"\r\n")[0])
    assert b64decode(message["body"])
    return message


def sent_headers(app: Celery) -> dict[str, Any]:
    """Return its headers."""
    headers: dict[str, Any] = sent(app)["headers"]
    return headers


@pytest.mark.parametrize(("options", "expected"), [({}, None), ({"timestamp": 7}, 7)])
@pytest.mark.usefixtures("instrumented")
def test_a_message_says_when_it_was_published(
    options: dict[str, int], expected: int | None, jobs: Celery
) -> None:
    """In AMQP's own property, which RabbitMQ tells of the oldest one; the application's wins."""
    before = int(time.time())
    jobs.tasks["jobs.add"].apply_async((1, 2), **options)
    told = sent(jobs)["properties"]["timestamp"]
    assert told == expected if expected is not None else before <= told <= time.time()
