"""Requests through Django's real handlers, in both worlds, by the same tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from etl_telemetry.catalogue import HTTP_SERVER_DURATION, LOG_EVENTS, REQUEST_SPAN

TESTS = Path(__file__).parent.parent
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
OF_THE_WAY = {"url.scheme", "server.address", "network.protocol.version"}
TIMES = {"db.query.duration", "duration"}
SHAPE = {"db.query.repeated.text": "SELECT ? WHERE ? <> ?"}
# Django's own: a file under ASGI, and a body that it does not close when sending fails.
THEIRS = ("-W", "ignore:StreamingHttpResponse", "-W", "ignore::ResourceWarning")


@dataclass(frozen=True)
class Played:
    """What one scenario left."""

    status: int | None
    headers: dict[str, str]
    body: str
    seconds: float
    clean: bool
    spans: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    logs: list[dict[str, Any]]

    @property
    def request(self) -> dict[str, Any]:
        """The only span of a server."""
        (found,) = [span for span in self.spans if span["kind"] == "SERVER"]
        return found

    @property
    def said(self) -> dict[str, Any]:
        """The attributes of that span that the scenario chose."""
        return {k: v for k, v in self.request["attributes"].items() if k not in OF_THE_WAY | TIMES}

    def warned(self, name: str) -> dict[str, Any]:
        """Return the fields of the only record of that name, without times."""
        (found,) = [record for record in self.logs if record["name"] == name]
        assert found["level"] == "WARNING"
        return {key: value for key, value in found["fields"].items() if key not in TIMES}


@pytest.fixture(scope="module", params=["WSGI", "ASGI"])
def world(request: pytest.FixtureRequest) -> dict[str, Played]:
    """Play every scenario in one world."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *THEIRS, "-m", "support.django_site", request.param],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: Played(**left) for name, left in json.loads(done.stdout).items()}


@pytest.mark.parametrize(
    ("scenario", "name", "said"),
    [
        ("plain", "GET flights/<str:carrier>/",
         {"http.route": "flights/<str:carrier>/", "http.response.status_code": 200,
          "url.path": "/flights/AA/", "url.query": "token=secret"}),
        ("root", "GET /",
         {"http.route": "/", "http.response.status_code": 200, "url.path": "/"}),
        ("post", "POST /",
         {"http.request.method": "POST", "http.route": "/", "http.response.status_code": 200,
          "url.path": "/"}),
        ("odd method", "HTTP /",
         {"http.request.method": "_OTHER", "http.request.method_original": "BREW",
          "http.route": "/", "http.response.status_code": 200, "url.path": "/"}),
        ("no route", "GET", {"http.response.status_code": 404, "url.path": "/nowhere/"}),
        ("missing", "GET missing/",
         {"http.route": "missing/", "http.response.status_code": 404, "url.path": "/missing/"}),
        ("bad host", "GET", {"http.response.status_code": 400, "url.path": "/"}),
        ("short circuit", "GET", {"http.response.status_code": 403, "url.path": "/blocked/"}),
        ("download", "GET download/",
         {"http.route": "download/", "http.response.status_code": 200, "url.path": "/download/"}),
    ],
)  # fmt: skip
def test_every_outcome_is_one_span_and_one_measurement(
    world: dict[str, Played], scenario: str, name: str, said: dict[str, Any]
) -> None:
    """Whatever answers, and where no route matched: never a raw path in a name or a label."""
    played = world[scenario]
    said = {"http.request.method": "GET", **said}
    span, (measured,) = played.request, played.requests
    assert (span["name"], span["status"], span["events"], span["parent"]) == (
        name,
        "UNSET",
        [],
        None,
    )
    assert played.said == said
    assert played.status == said["http.response.status_code"]
    labels = {k: v for k, v in said.items() if not k.startswith("url.") and "original" not in k}
    assert measured == {**labels, "url.scheme": "http", "count": 1, "sum": measured["sum"]}
    assert 0 < measured["sum"] <= played.seconds
    assert played.logs == []


@pytest.mark.parametrize(
    ("scenario", "name", "error"),
    [
        ("exception", "GET boom/", ("ValueError", "no rows", 500)),
        ("middleware exception", "GET", ("KeyError", "'gate'", 500)),
        ("stream fails", "GET stream/broken/", ("RuntimeError", "lost the file", 200)),
    ],
)
def test_an_exception_is_recorded_and_measured(
    world: dict[str, Played], scenario: str, name: str, error: tuple[str, str, int]
) -> None:
    """In a view, in a middleware, in the middle of a response: with its type, once."""
    kind, text, status = error
    played = world[scenario]
    span, (measured,) = played.request, played.requests
    assert (span["name"], span["status"], span["error"]) == (name, "ERROR", text)
    assert (span["events"], played.said["error.type"]) == ([kind], kind)
    assert (measured["error.type"], measured["http.response.status_code"]) == (kind, status)


def test_a_stream_is_measured_to_its_last_byte(world: dict[str, Played]) -> None:
    """What it asks the database while it is sent belongs to the request."""
    played = world["stream"]
    (measured,) = played.requests
    assert played.body == "0;1;2;"
    assert played.said == {
        "http.request.method": "GET", "http.route": "stream/", "http.response.status_code": 200,
        "url.path": "/stream/", "db.query.count": 3, "db.query.repeated.count": 3, **SHAPE,
    }  # fmt: skip
    assert min(measured["sum"], played.request["seconds"]) >= 3 * 0.005


def test_a_client_that_leaves_ends_the_request(world: dict[str, Played]) -> None:
    """The span ends then, and says so; HEAD, which takes no body, is no such client."""
    left, (measured,) = world["client leaves"], world["client leaves"].requests
    assert (left.request["status"], left.said["error.type"]) == ("UNSET", "client_disconnected")
    assert (left.said["db.query.count"], measured["error.type"]) == (1, "client_disconnected")
    assert "error.type" not in world["head of a stream"].said


def test_a_client_that_leaves_while_the_view_works_ends_the_request(
    world: dict[str, Played],
) -> None:
    """Django cancels an asynchronous view; there is no status, and no error of ours."""
    if "cancelled" not in world:
        pytest.skip("WSGI knows of a client that left when it writes to it")
    span, (measured,) = world["cancelled"].request, world["cancelled"].requests
    assert (span["name"], span["status"], span["events"]) == ("GET wait/", "UNSET", [])
    assert span["attributes"]["error.type"] == "asyncio.exceptions.CancelledError"
    assert "http.response.status_code" not in measured


def test_a_request_that_django_cannot_read_is_measured(world: dict[str, Played]) -> None:
    """It answers 400 before there is a request object."""
    if "not text" not in world:
        pytest.skip("under WSGI any bytes are a query string")
    played = world["not text"]
    assert (played.status, played.said["http.response.status_code"]) == (400, 400)
    assert [found["http.response.status_code"] for found in played.requests] == [400]


@pytest.mark.parametrize(
    ("scenario", "route", "count", "repeated"),
    [("many queries", "many/", 12, 12), ("async", "async/", 13, 12)],
)
def test_many_queries_are_told_with_the_one_that_repeats(
    world: dict[str, Played], scenario: str, route: str, count: int, repeated: int
) -> None:
    """DEBUG is off; over two aliases, and in other threads of an asynchronous view."""
    fields = {
        "http.route": route, "http.request.method": "GET", "http.response.status_code": 200,
        "db.query.count": count, "db.query.repeated.count": repeated, **SHAPE,
    }  # fmt: skip
    assert world[scenario].warned("high_query_count") == fields
    assert [record["name"] for record in world[scenario].logs] == ["high_query_count"]
    assert world[scenario].said == {**fields, "url.path": f"/{route}"}


def test_a_route_may_have_a_limit_of_its_own(world: dict[str, Played]) -> None:
    """The same view under a route that may send 50."""
    assert world["allowed queries"].said["db.query.count"] == 12
    assert world["allowed queries"].logs == []


@pytest.mark.parametrize(
    ("scenario", "user"),
    [
        ("slow, user not asked", {}),
        ("slow, user loaded",
         {"user.id": "1", "db.query.count": 2}),  # The session, then the user: the view's own.
        ("slow, user set", {"user.id": "77"}),
    ],
)  # fmt: skip
def test_a_slow_request_names_its_run_and_a_user_that_is_known(
    world: dict[str, Played], scenario: str, user: dict[str, Any]
) -> None:
    """The user is never looked up in the database for the sake of a log record."""
    assert world[scenario].warned("slow_request") == {
        "http.route": "slow/<str:who>/", "http.request.method": "GET",
        "http.response.status_code": 200, "pipeline.run.id": "r1", **user,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "continued"),
    [("stranger", False), ("socket", False), ("trusted", True), ("trusted, mapped", True)],
)
def test_only_named_networks_continue_a_trace(
    world: dict[str, Played], scenario: str, *, continued: bool
) -> None:
    """From anybody else a `traceparent` is a link."""
    span = world[scenario].request
    assert (span["trace"] == TRACE, span["parent"], span["links"]) == (
        (True, PARENT, []) if continued else (False, None, [PARENT])
    )


def test_excluded_paths_leave_nothing(world: dict[str, Played]) -> None:
    """No span, no measurement, no warning, though the view sends twelve queries."""
    played = world["excluded"]
    assert (played.status, played.spans, played.requests, played.logs) == (200, [], [], [])


@pytest.mark.parametrize(
    ("scenario", "begin"), [("exception", "broken: "), ("no route", "missing: "), ("root", "ok")]
)
def test_the_trace_id_is_told_to_the_client(
    world: dict[str, Played], scenario: str, begin: str
) -> None:
    """In a header where that was asked for, and in error pages, which Django gives no request."""
    played = world[scenario]
    assert played.headers["X-Trace-Id"] == played.request["trace"]
    assert played.body == begin + (played.request["trace"] if begin != "ok" else "")


def test_everything_is_declared_and_occurs(world: dict[str, Played]) -> None:
    """Attributes, labels and fields against the catalogue: none beside it, none left out."""
    events = ("slow_request", "high_query_count")
    logs = [log for played in world.values() for log in played.logs if log["name"] in events]
    spans = [s for played in world.values() for s in played.spans if s["kind"] == "SERVER"]
    points = [point for played in world.values() for point in played.requests]
    attributes = set().union(*(span["attributes"] for span in spans))
    assert attributes | {"user_agent.original"} == set(REQUEST_SPAN.attributes)
    labels = set().union(*points) - {"count", "sum"}
    assert labels == set(HTTP_SERVER_DURATION.attributes)
    always = labels - set(HTTP_SERVER_DURATION.optional)
    assert all(always <= set(point) for point in points)
    for event in events:
        found = set().union(*(log["fields"] for log in logs if log["name"] == event))
        assert found <= set(LOG_EVENTS[event].fields)
    assert set().union(*(log["fields"] for log in logs)) == set(LOG_EVENTS["slow_request"].fields)


def test_nothing_is_left_current(world: dict[str, Played]) -> None:
    """The thread is as it was before, whatever happened."""
    assert [name for name, played in world.items() if not played.clean] == []
