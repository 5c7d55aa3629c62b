"""The gate: each attribute that holds data, what is allowed, and what it keeps."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

from etl_telemetry import guard, redaction
from etl_telemetry.redaction import Policy
from etl_telemetry.runtime import gate as gate_module
from etl_telemetry.runtime.gate import Gate
from support.gates import Kit, kit

__all__ = ["kit"]

TARGETED = {
    "url.full": ("http://u:p@a/?b=c", "http://REDACTED:REDACTED@a/?b=REDACTED"),
    "url.query": ("b=c", "b=REDACTED"),
    "url.fragment": ("x", None),
    "url.query.b": ("c", None),
    "http.request.header.authorization": (["Bearer x"], ("REDACTED",)),
    "http.request.header.set_cookie": (["a=b"], ("REDACTED",)),
    "http.request.header.referer": (["/a?b=c"], ("/a?b=REDACTED",)),
    "http.response.header.location": (["/a?b=c"], ("/a?b=REDACTED",)),
    "http.request.header.accept": (["*/*"], ("*/*",)),
    "http.request.body.text": ("x", None),
    "http.request.body.size": (3, 3),
    "db.query.parameter.0": ("x", None),
    "db.statement.parameters": ("('x',)", None),
    "db.query.summary": ("SELECT 'a'", "SELECT ?"),
    "db.connection_string": ("host=a password=b", "host=a password=REDACTED"),
    "redis.search.xdoc_1.name": ("x", None),
    "celery.args": ("[1]", None),
    "celery.kwargsrepr": ("{}", None),
    "celery.retry.reason": ("DETAIL: x", "DETAIL: ?"),
    "celery.correlation_id": ("x", "x"),
    "messaging.message.body": ("x", None),
    "messaging.message.body.size": (3, 3),
    "messaging.url": ("amqp://u:p@mq", "amqp://REDACTED:REDACTED@mq"),
    "exception.message": ("DETAIL: x", "DETAIL: ?"),
    "etl_telemetry.argument.password": ("x", "REDACTED"),
    "etl_telemetry.argument.rows": (3, 3),
    "app.api_key": (["a", "b"], ("REDACTED",)),
    "app.has_password": (True, True),
    "app.name": ("x", "x"),
}


@pytest.mark.parametrize("key", TARGETED)
def test_attribute(kit: Kit, key: str) -> None:
    """Each key that holds data, and its neighbours that do not."""
    value, expected = TARGETED[key]
    remains = kit.passes(key, value)
    assert (tuple(remains) if isinstance(remains, list) else remains) == expected


@pytest.mark.parametrize(
    ("system", "statement", "expected"),
    [
        ("postgresql", 'SELECT "a" WHERE b = 1', 'SELECT "a" WHERE b = ?'),
        ("mysql", 'SELECT `a` WHERE b = "Ann"', "SELECT `a` WHERE b = ?"),
        ("mongodb", '{"find": "Ann"}', "{?: ?}"),
        ("redis", "SET a b", "SET ? ?"),
        ("sqlite", 5, "?"),
    ],
)
def test_statement_is_read_in_its_language(
    kit: Kit, system: str, statement: object, expected: str
) -> None:
    """The system says what double quotes hold; a statement that is no text is hidden."""
    assert kit.passes("db.query.text", statement, **{"db.system.name": system}) == expected
    assert kit.passes("db.statement", statement, **{"db.system": system}) == expected


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("SELECT", {"db.system": "postgresql"}, "SELECT"),
        ("INSERT'x'", {"db.system": "postgresql"}, "INSERT?"),
        ("--", {"db.system": "postgresql"}, "postgresql"),
        ("flights-2013", {"db.system": "postgresql", "db.name": "flights-2013"}, "flights-2013"),
        ("SET GET", {"db.system": "redis", "db.statement": "SET ? ?\nGET ?"}, "SET GET"),
        ("0", {"db.system": "redis", "db.statement": ""}, "redis"),
        ("GET 'x'", {}, "GET 'x'"),
    ],
)
def test_span_name(kit: Kit, name: str, attributes: dict[str, str], expected: str) -> None:
    """The name of a database span is a part of its statement."""
    kit.tracer.start_span(name, attributes=attributes).end()
    assert kit.after().name == expected


def test_allow_list() -> None:
    """What the user allows leaves as it is, and nothing else does."""
    kit = Kit(Policy(allow=("db.query.text", "url.query.page", "exception.message")))
    assert kit.passes("db.query.text", "SELECT 'a'") == "SELECT 'a'"
    assert kit.passes("db.statement", "SELECT 'a'") == "SELECT 'a'"
    assert kit.passes("url.full", "/?page=2&b=c") == "/?page=2&b=REDACTED"
    assert kit.passes("exception.message", "DETAIL: x") == "DETAIL: x"
    assert kit.passes("celery.args", "[1]") is None


def test_harmless_span_passes_untouched(kit: Kit) -> None:
    """Not a copy: the same object, once its keys are known."""
    seen: list[ReadableSpan] = []

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            seen.append(span)

    kit.gate._wrapped = Keep()
    readable = ReadableSpan("x", attributes={"pipeline.name": "daily"})
    kit.gate.on_end(readable)
    kit.gate.on_end(readable)
    assert [one is readable for one in seen] == [True, True]


def test_copy_keeps_everything_else() -> None:
    """Ids, times, links, scope, resource and the counts of what limits dropped stay."""
    kit = Kit(Policy())
    kit.provider._span_limits = SpanLimits(max_span_attributes=2, max_events=1, max_links=1)
    tracer = kit.provider.get_tracer("scope", "1.0")
    with tracer.start_as_current_span("parent"):
        context = trace.get_current_span().get_span_context()
        links = [trace.Link(context), trace.Link(context)]
        span = tracer.start_span("x", kind=SpanKind.CLIENT, links=links, start_time=5)
        span.set_attributes({"a": 1, "b": 2, "url.full": "/?a=b"})
        span.add_event("first")
        span.add_event("second", {"url.full": "/?a=b"})
        span.end(9)
    before, after = kit.raw.get_finished_spans()[0], kit.cleaned.get_finished_spans()[0]
    assert type(after).__name__ == "_Copy"
    for fact in ("name", "context", "parent", "kind", "start_time", "end_time", "links", "resource",
                 "instrumentation_scope", "dropped_attributes", "dropped_events", "dropped_links",
                 "status"):  # fmt: skip
        assert getattr(after, fact) == getattr(before, fact), fact
    assert dict(after.attributes or {}) == {"b": 2, "url.full": "/?a=REDACTED"}
    assert [(e.name, dict(e.attributes or {})) for e in after.events] == [
        ("second", {"url.full": "/?a=REDACTED"})
    ]
    assert (after.dropped_attributes, after.dropped_events, after.dropped_links) == (1, 1, 1)


def test_span_that_cannot_be_cleaned_does_not_leave(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails closed, the failure is counted, and the application notices nothing."""

    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("broken rule")

    monkeypatch.setattr(redaction, "rule", broken)
    before = guard.drops().get("internal_error", 0)
    kit.tracer.start_span("x", attributes={"never.seen": "x"}).end()
    assert len(kit.raw.get_finished_spans()) == 1
    assert kit.cleaned.get_finished_spans() == ()
    assert guard.drops()["internal_error"] == before + 1


def test_memory_of_keys_is_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without end (documents have ids in theirs) are looked at each time, not kept."""
    monkeypatch.setattr(gate_module, "_MAX_KEYS", 10)
    for number in range(50):
        assert kit.passes(f"redis.search.xdoc_{number}.a", "x") is None
        assert kit.passes(f"app.fact_{number}", "x") == "x"
    assert len(kit.gate._harmless) + len(kit.gate._rules) == 10


def test_lifecycle_reaches_the_wrapped_processor() -> None:
    """Start, flush and shutdown are handed on."""
    calls: list[object] = []

    class Recorder(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            calls.append(("start", span.name, parent_context))

        def shutdown(self) -> None:
            calls.append("shutdown")

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            calls.append(("flush", timeout_millis))
            return False

    gate = Gate(Recorder(), policy=Policy())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(gate)
    provider.get_tracer("t").start_span("x").end()
    assert gate.force_flush(7) is False
    gate.shutdown()
    assert calls == [("start", "x", None), ("flush", 7), "shutdown"]
