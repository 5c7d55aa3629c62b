"""The gate: what the real instrumentors write does not leave the process with data in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import requests
from opentelemetry import trace
from opentelemetry.instrumentation import _semconv, dbapi, psycopg2
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.wsgi import collect_request_attributes
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from etl_telemetry import guard, redaction
from etl_telemetry.redaction import Policy
from etl_telemetry.runtime import gate as gate_module
from etl_telemetry.runtime.gate import Gate

SECRET = "zqSECRETqz"
INSERT = f"INSERT INTO t VALUES ('{SECRET}')"  # noqa: S608 - the very thing
MODES = {"old": "", "new": "http,database", "both": "http/dup,database/dup"}


class Kit:
    """A tracer provider behind a gate, and what came out of it, before and after."""

    def __init__(self, policy: Policy) -> None:
        self.raw, self.cleaned = InMemorySpanExporter(), InMemorySpanExporter()
        self.gate = Gate(SimpleSpanProcessor(self.cleaned), policy=policy)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.raw))
        self.provider.add_span_processor(self.gate)
        self.tracer = self.provider.get_tracer("test")

    def before(self) -> ReadableSpan:
        """Return the last span as its instrumentor wrote it."""
        return self.raw.get_finished_spans()[-1]

    def after(self) -> ReadableSpan:
        """Return the last span as it leaves."""
        return self.cleaned.get_finished_spans()[-1]

    def passes(self, key: str, value: Any, **others: Any) -> object:
        """Return what remains of one attribute."""
        self.tracer.start_span("x", attributes={key: value, **others}).end()
        return dict(self.after().attributes or {}).get(key)


@pytest.fixture
def kit() -> Kit:
    """Build a gate that allows nothing."""
    return Kit(Policy())


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Old, new and both semantic conventions (read once per process, trap 17)."""
    stability = _semconv._OpenTelemetrySemanticConventionStability
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", MODES[request.param])
    monkeypatch.setattr(stability, "_initialized", False)
    yield request.param
    monkeypatch.setattr(stability, "_initialized", False)
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "")
    stability._initialize()


def texts(span: ReadableSpan) -> str:
    """Return all that a span says, as one text."""
    return f"{span.to_json()} {[dict(event.attributes or {}) for event in span.events]}"


@pytest.mark.usefixtures("mode")
def test_dbapi(kit: Kit) -> None:
    """Literals in statements, parameters and rows in the errors of a real database."""
    with closing(sqlite3.connect(":memory:")) as database:
        connection = dbapi.instrument_connection(
            "test", database, "sqlite",
            tracer_provider=kit.provider, capture_parameters=True,
        )  # fmt: skip
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE t (a TEXT UNIQUE)")
        cursor.execute(INSERT)
        assert SECRET in texts(kit.before())
        assert SECRET not in texts(kit.after())
        assert "INSERT INTO t VALUES (?)" in dict(kit.after().attributes or {}).values()
        cursor.execute("SELECT a FROM t WHERE a = ?", (SECRET,))
        assert SECRET in texts(kit.before())
        assert SECRET not in texts(kit.after())
        with pytest.raises(sqlite3.OperationalError):
            cursor.execute(f"SELECT'{SECRET}' FROM nowhere")
        assert SECRET in kit.before().name
        assert kit.after().name == "SELECT?"
        assert SECRET not in texts(kit.after())
        assert kit.after().status.description == "OperationalError: no such table: nowhere"


@pytest.mark.usefixtures("mode")
def test_psycopg2_mogrified_rows(kit: Kit) -> None:
    """The bytes of execute_values, which even length limits ignore (trap 19)."""
    integration = psycopg2.DatabaseApiIntegration(
        "test", "postgresql", tracer_provider=kit.provider, connect_module=SimpleNamespace()
    )
    tracer = psycopg2.CursorTracer(integration)
    statement = b"INSERT INTO t VALUES (1, '%b'), (2, 'b')" % SECRET.encode()
    tracer.traced_execution(object(), lambda *_: None, statement)
    assert statement in dict(kit.before().attributes or {}).values()
    assert SECRET not in texts(kit.after())
    assert "INSERT INTO t VALUES (?, ?), ..." in dict(kit.after().attributes or {}).values()


def test_postgresql_error_row(kit: Kit) -> None:
    """The row in an error's DETAIL: in the event, its stack trace and the status (trap 22)."""
    message = f'duplicate key "users_mail"\nDETAIL:  Key (mail)=({SECRET}) already exists.'
    with pytest.raises(ValueError, match="duplicate"), kit.tracer.start_as_current_span("x"):
        raise ValueError(message)
    before, after = kit.before(), kit.after()
    assert texts(before).count(SECRET) >= 3
    assert SECRET not in texts(after)
    (event,) = after.events
    attributes = dict(event.attributes or {})
    stack_trace = str(attributes.pop("exception.stacktrace"))
    assert attributes == {
        "exception.type": "ValueError",
        "exception.message": 'duplicate key "users_mail"\nDETAIL: ?',
        "exception.escaped": "False",
    }
    assert "Traceback (most recent call last):\n" in stack_trace
    assert stack_trace.endswith('ValueError: duplicate key "users_mail"\nDETAIL: ?')
    assert (after.status.status_code, after.status.description) == (
        StatusCode.ERROR, 'ValueError: duplicate key "users_mail"\nDETAIL: ?',
    )  # fmt: skip
    assert (event.name, event.timestamp) == (before.events[0].name, before.events[0].timestamp)


class _Search(redis.Redis):
    """A client that finds a document without a server."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "FT.SEARCH":
            return [1, f"user:{SECRET}", ["name", SECRET]]
        return None


@pytest.mark.usefixtures("mode")
def test_redis(kit: Kit) -> None:
    """Queries, documents (trap 23) and commands given as one text."""
    client = _Search()
    RedisInstrumentor.instrument_client(client, tracer_provider=kit.provider)
    client.execute_command("FT.SEARCH", "users", f"@name:{SECRET}")
    assert SECRET in texts(kit.before())
    assert SECRET not in texts(kit.after())
    attributes = dict(kit.after().attributes or {})
    assert kit.after().name == "redis.search"
    assert {key: value for key, value in attributes.items() if "search" in key} == {
        "redis.search.index": "users", "redis.search.total": 1, "redis.search.query": "REDACTED",
    }  # fmt: skip
    client.execute_command(f"SET session {SECRET}")
    assert SECRET in kit.before().name
    assert kit.after().name == "SET"
    assert SECRET not in texts(kit.after())
    client.execute_command("CONFIG GET", "dir")
    assert kit.after().name == "CONFIG GET"
    client.set("a", "b")
    assert kit.after().name == "SET"


class _Adapter(requests.adapters.BaseAdapter):
    """Answers without a network, or fails as urllib3 does."""

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        if "fail" in str(request.url):
            raise requests.ConnectionError(f"Max retries exceeded with url: {request.path_url} (x)")
        response = requests.Response()
        response.status_code = 200
        return response

    def close(self) -> None:
        pass


@pytest.fixture
def session(kit: Kit, mode: str) -> Iterator[requests.Session]:
    """Open a session of the instrumented library."""
    instrumentor = RequestsInstrumentor()
    instrumentor.instrument(tracer_provider=kit.provider)
    with requests.Session() as session:
        session.mount("http://", _Adapter())
        yield session
    instrumentor.uninstrument()


def test_requests(kit: Kit, session: requests.Session) -> None:
    """Query values and credentials, in the URL and in the text of an error."""
    session.get("http://a.example/b", params={"token": SECRET}, auth=("ann", SECRET))
    assert SECRET in texts(kit.before())
    assert SECRET not in texts(kit.after())
    assert "http://a.example/b?token=REDACTED" in dict(kit.after().attributes or {}).values()
    with pytest.raises(requests.ConnectionError):
        session.get("http://a.example/fail", params={"token": SECRET})
    assert texts(kit.before()).count(SECRET) >= 3
    assert SECRET not in texts(kit.after())
    assert kit.after().status.description == (
        "ConnectionError: Max retries exceeded with url: /fail?token=REDACTED (x)"
    )


@pytest.mark.parametrize("raw_uri", [True, False], ids=["gunicorn", "wsgiref"])
@pytest.mark.parametrize("mode", list(_semconv._StabilityMode)[:3])
def test_wsgi_and_django(kit: Kit, mode: _semconv._StabilityMode, raw_uri: bool) -> None:  # noqa: FBT001
    """Query values of incoming requests, under all the names that they have had."""
    environ = {
        "REQUEST_METHOD": "GET", "SERVER_NAME": "a.example", "SERVER_PORT": "80",
        "HTTP_HOST": "a.example", "wsgi.url_scheme": "http", "PATH_INFO": "/b",
        "QUERY_STRING": f"token={SECRET}",
    }  # fmt: skip
    if raw_uri:
        environ["RAW_URI"] = f"/b?token={SECRET}"
    attributes = collect_request_attributes(environ, mode)
    kit.tracer.start_span("GET /b", kind=SpanKind.SERVER, attributes=attributes).end()
    says_query = raw_uri or mode is not _semconv._StabilityMode.HTTP
    assert (SECRET in texts(kit.before())) is says_query
    assert SECRET not in texts(kit.after())
    assert ("token=REDACTED" in texts(kit.after())) is says_query


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
