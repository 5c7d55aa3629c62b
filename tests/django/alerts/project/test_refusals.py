"""`POST /api/alerts/webhook`: what is refused, with which status and reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test import Client

from etl_telemetry import guard
from etl_telemetry.django.alerts import access, store
from etl_telemetry.django.models import Alert
from support.alert_senders import URL, Send
from support.alerts import TOKEN, alert, payload


def news() -> list[tuple[str, str]]:
    """Return what is stored, as fingerprint and status."""
    return sorted(Alert.objects.values_list("fingerprint", "status"))


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


def test_a_certificate_is_asked_for_besides_the_token(send: Send, configured: Any) -> None:
    """By the headers of the proxy that was named, and of nobody else."""
    headers, verified = {"X-SSL-Verify": "SUCCESS"}, {"HTTP_X_SSL_VERIFY": "SUCCESS"}
    configured(alert_client_headers=headers, alert_proxies=("127.0.0.1",))
    wrong = "wrong-token-0123456789"
    assert send(payload(alert())) == (401, {"error": access.WRONG_CERTIFICATE})
    assert send(payload(alert()), token=wrong, **verified) == (
        401, {"error": access.UNKNOWN_SENDER},
    )  # fmt: skip
    assert send(payload(alert()), **verified)[0] == 200
    configured(alert_client_headers=headers, alert_proxies=("10.0.0.1",))
    assert send(payload(alert(2)), **verified) == (401, {"error": access.WRONG_PROXY})
    assert len(news()) == 1


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
