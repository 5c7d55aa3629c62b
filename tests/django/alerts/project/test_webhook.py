"""`POST /api/alerts/webhook`: what is answered, stored, logged and announced."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.django.alerts import access, store, views
from etl_telemetry.django.alerts.signals import alert_received
from etl_telemetry.django.alerts.webhook import Webhook
from etl_telemetry.django.models import Alert
from etl_telemetry.pipelines import Run
from support.alert_senders import SENDERS, URL, Send, by_wsgi
from support.alerts import TOKEN, alert, payload, resolved
from support.patience import PATIENT

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(params=SENDERS)
def send(request: pytest.FixtureRequest) -> Send:
    """Send by WSGI and by ASGI."""
    return SENDERS[request.param]


@pytest.fixture
def heard() -> Iterator[list[Alert]]:
    """Listen to the signal."""
    found: list[Alert] = []

    def listen(*, alert: Alert, **_: Any) -> None:
        found.append(alert)

    alert_received.connect(listen)
    yield found
    alert_received.disconnect(listen)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the webhook another configuration."""

    def configure(**changed: Any) -> None:
        webhook = Webhook(Config(**{"alert_tokens": (TOKEN,), **changed}))
        monkeypatch.setattr(views, "_webhook", lambda: webhook)

    return configure


def news() -> list[tuple[str, str]]:
    """Return what is stored, as fingerprint and status."""
    return sorted(Alert.objects.values_list("fingerprint", "status"))


def shown(moment: datetime) -> datetime:
    """Return a moment as this project's database gives it."""
    if settings.USE_TZ:
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


def test_a_delivery_is_stored_whole(send: Send) -> None:
    """Every column, linked to the run that a label names, in the way Prometheus writes labels."""
    labels = {
        "alertname": "PipelineLongRunning",
        "severity": "warning",
        "pipeline_name": "orders-daily",
        "organization": "acme",
        "pipeline_run_id": "42",
    }
    annotations = {
        "summary": "Run 42 takes long",
        "runbook_url": "https://runbooks.example.com/long",
        "dashboard_url": "javascript:alert(1)",
    }
    sent = payload(alert(labels=labels, annotations=annotations))
    before = datetime.now(UTC)
    assert send(sent) == (200, {"received": 1, "new": 1})
    (row,) = Alert.objects.values()
    stamps = [row.pop("id"), row.pop("delivery"), row.pop("received_at"), row.pop("heard_at")]
    assert shown(before) <= stamps[2] == stamps[3] <= shown(datetime.now(UTC))
    assert row == {
        "fingerprint": "0000000000000001",
        "status": "firing",
        "starts_at": shown(datetime(2026, 11, 27, 10, 0, 0, 123456, tzinfo=UTC)),
        "ends_at": None,
        "labels": labels,
        "annotations": annotations,
        "generator_url": "http://prometheus:9090/graph",
        "external_url": "http://alertmanager:9093",
        "receiver": "platform",
        "name": "PipelineLongRunning",
        "severity": "warning",
        "organization": "acme",
        "pipeline_name": "orders-daily",
        "run_id": "42",
        "trace_id": Run(id="42", name="", organization="", started_ns=0).trace_id,
    }
    assert Alert.objects.get().links == {
        "rule": "http://prometheus:9090/graph",
        "alertmanager": "http://alertmanager:9093",
        "runbook": "https://runbooks.example.com/long",
    }


@pytest.mark.parametrize(
    ("labels", "annotations", "expected"),
    [
        ({"pipeline.run.id": "7", "trace_id": TRACE}, {}, ("7", TRACE)),
        ({}, {"trace_id": TRACE.upper()}, ("", TRACE)),
        ({"trace_id": "0" * 32}, {"pipeline_run_id": ""}, ("", "")),
        ({"trace_id": "12"}, {}, ("", "")),
        ({}, {}, ("", "")),
    ],
)
def test_the_run_or_trace_that_it_names(
    labels: dict[str, str], annotations: dict[str, str], expected: tuple[str, str]
) -> None:
    """Labels before annotations; a trace that is none is not linked."""
    by_wsgi(payload(alert(labels=labels, annotations=annotations)))
    assert Alert.objects.values_list("run_id", "trace_id").get() == expected


def test_long_texts_are_cut_in_columns_and_kept_in_labels(send: Send) -> None:
    """A label of any length is taken."""
    labels = {"alertname": "a" * 1_000, "severity": "s" * 1_000, "pipeline_run_id": "r" * 1_000}
    assert send(payload(alert(labels=labels), receiver="r" * 1_000))[0] == 200
    found = Alert.objects.get()
    assert (found.name, found.severity, found.receiver) == ("a" * 255, "s" * 255, "r" * 255)
    assert len(found.run_id) == 128
    assert found.labels == labels


def test_told_again_it_is_no_news(send: Send, heard: list[Alert]) -> None:
    """Once in the table, once in the signal; what is told about it is the latest."""
    assert send(payload(alert()))[1] == {"received": 1, "new": 1}
    first = Alert.objects.get()
    again = alert(annotations={"summary": "3 of 5 runs failed"})
    assert send(payload(again, alert(2)))[1] == {"received": 2, "new": 1}
    found = Alert.objects.get(pk=first.pk)
    assert found.annotations == {"summary": "3 of 5 runs failed"}
    assert found.heard_at > first.heard_at
    assert (found.received_at, found.delivery) == (first.received_at, first.delivery)
    assert [one.fingerprint[-1] for one in heard] == ["1", "2"]


def test_the_end_follows_the_begin(send: Send, heard: list[Alert]) -> None:
    """Two pieces of news, in this order also where one delivery has both."""
    send(payload(alert()))
    send(payload(resolved(), resolved(2), alert(2)))
    assert [(one.fingerprint[-1], one.status) for one in heard] == [
        ("1", "firing"), ("2", "firing"), ("1", "resolved"), ("2", "resolved"),
    ]  # fmt: skip


def test_news_is_logged_in_the_trace_of_its_run(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """A search for the logs of a run finds its alerts."""
    run = Run(id="42", name="orders-daily", organization="acme", started_ns=0)
    labels = {"alertname": "RowsMismatch", "severity": "critical", "pipeline_run_id": "42"}
    seen: list[str] = []

    class Look(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from etl_telemetry.logs.records import trace_fields

            seen.append(trace_fields(record).get("trace_id", ""))

    look = Look()
    logging.getLogger("etl_telemetry").addHandler(look)
    with caplog.at_level(logging.INFO, "etl_telemetry"):
        send(payload(alert(labels=labels), truncatedAlerts=5))
        send(payload(resolved(2)))
    logging.getLogger("etl_telemetry").removeHandler(look)
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "etl_telemetry"] == [
        ("WARNING", "alerts_left_out"), ("WARNING", "alert_firing"), ("INFO", "alert_resolved"),
    ]  # fmt: skip
    assert seen == ["", run.trace_id, ""]
    _, record, _ = caplog.records
    told = {key: value for key, value in vars(record).items() if "." in key}
    assert told.pop("alert.starts_at").startswith("2026-11-27T")
    assert told == {
        "alert.name": "RowsMismatch",
        "alert.status": "firing",
        "alert.severity": "critical",
        "alert.summary": "1 of 5 runs failed",
        "alert.fingerprint": "0000000000000001",
        "alert.receiver": "platform",
        "alert.trace_id": run.trace_id,
        "pipeline.run.id": "42",
    }


def test_a_receiver_that_raises_fails_nothing(
    send: Send, heard: list[Alert], caplog: pytest.LogCaptureFixture
) -> None:
    """The others hear it, the sender hears nothing of it, and Django logs it."""

    def broken(**_: Any) -> None:
        raise RuntimeError("the application's own")

    alert_received.connect(broken)
    try:
        assert send(payload(alert(), alert(2))) == (200, {"received": 2, "new": 2})
    finally:
        alert_received.disconnect(broken)
    assert len(heard) == 2
    assert [r.name for r in caplog.records if r.exc_info] == ["django.dispatch"] * 2


def test_a_receiver_sees_what_was_committed(send: Send) -> None:
    """Also where the project has ATOMIC_REQUESTS: another connection finds the row."""
    found: list[bool] = []

    def look(*, alert: Alert, **_: Any) -> None:
        def other() -> None:
            found.append(Alert.objects.filter(pk=alert.pk).exists())
            connections.close_all()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    alert_received.connect(look)
    send(payload(alert()))
    alert_received.disconnect(look)
    assert found == [True]


@pytest.mark.parametrize(
    ("status", "how", "error"),
    [
        (401, {"token": None}, access.UNKNOWN_SENDER),
        (401, {"token": "wrong-token-0123456789"}, access.UNKNOWN_SENDER),
        (405, {"method": "GET"}, "only POST is answered"),
        (405, {"method": "PUT", "token": None}, "only POST is answered"),
        (413, {"body": b" " * 100_001}, "a delivery may have at most 100000 bytes"),
        (400, {"body": b""}, "the body must be JSON: JSONDecodeError"),
        (400, {"body": b"{}"}, "version must be '4', got nothing"),
    ],
)
def test_what_is_refused_is_told_why(
    send: Send, status: int, how: dict[str, Any], error: str
) -> None:
    """With the status that tells Alertmanager not to come again with it."""
    assert send(**{"body": payload(alert()), **how}) == (status, {"error": error})
    assert news() == []


def test_headers_of_refusals() -> None:
    """What the standards ask for."""
    client = Client()
    assert client.get(URL)["Allow"] == "POST"
    assert client.post(URL)["WWW-Authenticate"] == "Bearer"
    assert client.head(URL).status_code == 405


def test_the_largest_body_is_taken(send: Send) -> None:
    """Also where Django itself would take less (DATA_UPLOAD_MAX_MEMORY_SIZE)."""
    body = json.dumps(payload(alert())).encode()
    assert send(body + b" " * (100_000 - len(body)))[0] == 200


class Untouched:
    """A body that must not be read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("read")

    readline = read


@pytest.mark.parametrize("told", ["100001", "9" * 5_000])
def test_a_body_that_is_told_to_be_too_large_is_not_read(told: str) -> None:
    """The sender may say so and be right."""
    client = Client()
    meta: dict[str, Any] = {"CONTENT_LENGTH": told, "wsgi.input": Untouched()}
    response = client.post(URL, HTTP_AUTHORIZATION=f"Bearer {TOKEN}", **meta)
    assert response.status_code == 413


def test_no_more_than_the_rate(send: Send, configured: Any) -> None:
    """Strangers do not use it up, so they cannot shut Alertmanager out."""
    configured(alert_rate=2)
    for _ in range(5):
        assert send(payload(alert()), token="wrong-token-0123456789")[0] == 401
    answers = [send(payload(alert(number)))[0] for number in range(3)]
    assert answers == [200, 200, 429]
    assert len(news()) == 2


def test_too_many_are_told_when_to_come_again(configured: Any) -> None:
    """In whole seconds."""
    configured(alert_rate=1)
    client = Client()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client.post(URL, payload(), content_type="application/json", headers=headers)
    response = client.post(URL, payload(), content_type="application/json", headers=headers)
    assert response.json() == {"error": "too many deliveries in a minute"}
    assert 0 < int(response["Retry-After"]) <= 60


def test_without_any_token_everything_is_refused(send: Send, configured: Any) -> None:
    """And the answer, which Alertmanager logs, says what to set."""
    configured(alert_tokens=())
    assert send(payload(alert())) == (401, {"error": access.UNCONFIGURED})
    assert news() == []


def test_without_its_table_the_sender_comes_again(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """New code on the old schema: 503, and the first delivery after `migrate` is taken."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(Alert, "etl_telemetry_alert", "elsewhere")
    try:
        answer = send(payload(alert()))
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Alert, "elsewhere", "etl_telemetry_alert")
    assert answer == (503, {"error": "the alerts could not be stored now"})
    (record,) = [r for r in caplog.records if r.name == "etl_telemetry"]
    assert record.getMessage() == "alerts_not_stored"
    assert vars(record)["error.type"] in {"OperationalError", "ProgrammingError"}
    assert send(payload(alert()))[0] == 200


@pytest.mark.parametrize("error", [OperationalError("secret"), DatabaseError("secret")])
def test_without_its_database_the_sender_comes_again(
    error: Exception, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the database's message is told."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(store, "keep", fail)
    assert send(payload(alert())) == (503, {"error": "the alerts could not be stored now"})


def test_a_mistake_of_ours_is_no_500(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted and logged as every mistake of ours, and the sender comes again."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "keep", fail)
    before = guard.drops().get("internal_error", 0)
    assert send(payload(alert())) == (503, {"error": "the alerts could not be taken now"})
    assert guard.drops()["internal_error"] == before + 1


def test_the_same_news_at_the_same_moment_is_one(heard: list[Alert]) -> None:
    """Eight senders, as two Alertmanagers with retries would be: one row, one signal, no error."""
    start = threading.Barrier(8)
    alerts = [alert(number) for number in range(20)]

    def deliver(turn: int) -> tuple[int, dict[str, Any]]:
        start.wait()
        try:
            return by_wsgi(payload(*(alerts if turn % 2 else reversed(alerts))))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(deliver, range(8)))
    assert [status for status, _ in answers] == [200] * 8
    assert sum(answer["new"] for _, answer in answers) == 20
    assert len(news()) == len(set(news())) == len(heard) == 20


def test_a_full_table_loses_its_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is bounded, also where everything in it is young."""
    monkeypatch.setattr(store, "MAX_ROWS", 5)
    by_wsgi(payload(*(alert(number) for number in range(4))))
    by_wsgi(payload(*(alert(number) for number in range(4, 8))))
    assert [int(fingerprint, 16) for fingerprint, _ in news()] == [3, 4, 5, 6, 7]


def test_what_was_not_heard_of_for_long_is_deleted() -> None:
    """Counted from when it was told last, so what goes on stays."""
    by_wsgi(payload(alert(1), alert(2)))
    old = shown(datetime.now(UTC) - timedelta(days=91))
    Alert.objects.filter(fingerprint="0000000000000001").update(heard_at=old)
    Alert.objects.filter(fingerprint="0000000000000002").update(received_at=old)
    by_wsgi(payload(alert(3)))
    assert [int(fingerprint, 16) for fingerprint, _ in news()] == [2, 3]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from([*alert(), *payload()])
TEXTS = st.dictionaries(st.text(), st.text(), max_size=3)
ALERTS = st.builds(
    lambda make, number, labels, annotations, broken: {
        **make(number, labels=labels, annotations=annotations), **broken,
    },
    st.sampled_from([alert, resolved]),
    st.integers(0, 3),
    TEXTS,
    TEXTS,
    st.just({}) | st.dictionaries(KEYS, JSON, max_size=1),
)  # fmt: skip
BODIES = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda alerts, broken: json.dumps({**payload(*alerts), **broken}).encode(),
        st.lists(ALERTS, max_size=4),
        st.just({}) | st.dictionaries(KEYS, JSON, max_size=1),
    )
)


@PATIENT
@given(bodies=st.lists(BODIES, max_size=3), transport=st.sampled_from([*SENDERS]))
def test_never_a_500_and_never_a_duplicate(bodies: list[bytes], transport: str) -> None:
    """Whatever is sent, twice: taken or refused alike, and the second time brings no news."""
    Alert.objects.all().delete()
    for body in bodies:
        first = SENDERS[transport](body)
        assert first[0] in {200, 400}, first
        stored = Alert.objects.count()
        again = SENDERS[transport](body)
        assert again[0] == first[0]
        assert again[1].get("new", 0) == 0
        assert Alert.objects.count() == stored
    keys = list(Alert.objects.values_list("fingerprint", "starts_at", "status"))
    assert len(keys) == len(set(keys))


def test_the_view_is_outside_of_the_requests_transaction() -> None:
    """A request that fails later must not take stored alerts back."""
    inside: list[bool] = []

    def look(**_: Any) -> None:
        inside.append(transaction.get_connection().in_atomic_block)

    alert_received.connect(look)
    by_wsgi(payload(alert()))
    alert_received.disconnect(look)
    assert inside == [False]
