"""`POST /api/alerts/webhook`: what is stored, logged and announced."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from etl_telemetry.django.alerts import store
from etl_telemetry.django.alerts.signals import alert_received
from etl_telemetry.django.models import Alert
from etl_telemetry.pipelines import Run
from support.alert_senders import Send, by_wsgi
from support.alerts import alert, payload, resolved

TRACE = "0af7651916cd43dd8448eb211c80319c"


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


def test_the_view_is_outside_of_the_requests_transaction() -> None:
    """A request that fails later must not take stored alerts back."""
    inside: list[bool] = []

    def look(**_: Any) -> None:
        inside.append(transaction.get_connection().in_atomic_block)

    alert_received.connect(look)
    by_wsgi(payload(alert()))
    alert_received.disconnect(look)
    assert inside == [False]
