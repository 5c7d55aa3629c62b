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
from opentelemetry.instrumentation import _semconv, dbapi, psycopg2
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.wsgi import collect_request_attributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from support.gates import Kit, kit

__all__ = ["kit"]

SECRET = "zqSECRETqz"
INSERT = f"INSERT INTO t VALUES ('{SECRET}')"  # noqa: S608 - the very thing
MODES = {"old": "", "new": "http,database", "both": "http/dup,database/dup"}


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
