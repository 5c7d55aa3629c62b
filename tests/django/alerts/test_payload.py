"""What Alertmanager sends is read without trust."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.django.alerts.payload import BrokenPayload, Delivery, GivenAlert, parse
from support.alerts import NEVER, Json, alert, payload, resolved
from support.patience import MORE

BEGIN = datetime(2026, 11, 27, 10, 0, 0, 123456, tzinfo=UTC)
MOMENT = "alerts[0].startsAt must be a time of RFC 3339 in the years 1970 to 9998, got "


def read(document: object) -> Delivery:
    """Parse a document."""
    return parse(json.dumps(document).encode())


def test_a_delivery_is_read_whole() -> None:
    """Every key that counts, and the others are passed over; nanoseconds are cut."""
    found = read(payload({**alert(), "novelty": [1]}, resolved(), truncatedAlerts=3, other=None))
    common: dict[str, Any] = {
        "fingerprint": "0000000000000001",
        "starts_at": BEGIN,
        "labels": {"alertname": "PipelineFailureRate", "severity": "warning"},
        "annotations": {"summary": "1 of 5 runs failed"},
        "generator_url": "http://prometheus:9090/graph",
    }
    end = datetime(2026, 11, 27, 10, 5, tzinfo=UTC)
    assert found == Delivery(
        receiver="platform",
        external_url="http://alertmanager:9093",
        left_out=3,
        alerts=(
            GivenAlert(status="firing", ends_at=None, **common),
            GivenAlert(status="resolved", ends_at=end, **common),
        ),
    )


def test_the_least_that_is_needed() -> None:
    """What only people read may be missing."""
    bare = {"status": "firing", "fingerprint": "f", "startsAt": "2026-11-27T11:00:00.1+01:00"}
    (found,) = read({"version": "4", "alerts": [bare]}).alerts
    begin = datetime(2026, 11, 27, 10, 0, 0, 100000, tzinfo=UTC)
    assert found == GivenAlert("f", "firing", begin, None, {}, {}, "")


def test_the_same_news_twice_in_a_delivery_is_one() -> None:
    """Fingerprint, begin and status make it the same; so does a begin cut to microseconds."""
    again = alert(startsAt="2026-11-27T10:00:00.123456001Z", annotations={"summary": "later"})
    (found,) = read(payload(alert(), again)).alerts
    assert found.annotations == {"summary": "later"}


def test_an_end_is_never_before_its_begin() -> None:
    """Clocks of two machines differ."""
    (found,) = read(payload(resolved(endsAt="2026-11-27T09:00:00Z"))).alerts
    assert found.ends_at == found.starts_at == BEGIN


def test_what_no_database_takes_is_replaced() -> None:
    """NUL and half a surrogate pair would make PostgreSQL refuse the row for ever."""
    body = payload(alert(labels={"a\0": "b\0\ud800"}, generatorURL="\0"), receiver="\udfff")
    found = read(body)
    assert found.receiver == "?"
    assert found.alerts[0].labels == {"a\ufffd": "b\ufffd?"}
    assert found.alerts[0].generator_url == "\ufffd"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body must be JSON: JSONDecodeError"),
        (b"\xff", "the body must be JSON: UnicodeDecodeError"),
        (b"[" * 100_000, "the body must be JSON: RecursionError"),
        (b"[" + b"9" * 10_000 + b"]", "the body must be JSON: ValueError"),
        (b"[]", "the body must be an object, got a value of type list"),
        (b"null", "the body must be an object, got nothing"),
    ],
    ids=["empty", "bytes", "deep", "number", "list", "null"],
)
def test_a_body_that_is_no_object(body: bytes, reason: str) -> None:
    """The reason says what it is instead."""
    with pytest.raises(BrokenPayload) as broken:
        parse(body)
    assert str(broken.value) == reason


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"alerts": []}, "version must be '4', got nothing"),
        (payload(version="3"), "version must be '4', got '3'"),
        (payload(alerts={}), "alerts must be a list, got a value of type dict"),
        (payload(alerts=[7]), "alerts[0] must be an object, got a value of type int"),
        (payload(receiver=7), "receiver must be text, got a value of type int"),
        (payload(externalURL=[]), "externalURL must be text, got a value of type list"),
        (
            payload(truncatedAlerts=True),
            "truncatedAlerts must be a whole number of at least 0, got a value of type bool",
        ),
        (
            payload(alert(), alert(status="pending")),
            "alerts[1].status must be 'firing' or 'resolved', got 'pending'",
        ),
        (
            payload(alert(fingerprint=None)),
            "alerts[0].fingerprint must be 1 to 64 printable ASCII characters, got nothing",
        ),
        (
            payload(alert(fingerprint="f" * 65)),
            f"alerts[0].fingerprint must be 1 to 64 printable ASCII characters, got '{'f' * 65}'",
        ),
        (payload(alert(startsAt=None)), MOMENT + "nothing"),
        (payload(alert(startsAt=NEVER)), MOMENT + f"'{NEVER}'"),
        (payload(alert(startsAt="2026-11-27")), MOMENT + "'2026-11-27'"),
        (payload(alert(startsAt="1969-12-31T23:59:59Z")), MOMENT + "'1969-12-31T23:59:59Z'"),
        (
            payload(alert(startsAt="9999-12-31T23:59:59-01:00")),
            "alerts[0].startsAt must be a time that exists, got '9999-12-31T23:59:59-01:00'",
        ),
        (
            payload(alert(startsAt="2026-02-30T00:00:00Z")),
            "alerts[0].startsAt must be a time that exists, got '2026-02-30T00:00:00Z'",
        ),
        (
            payload(resolved(endsAt=NEVER)),
            MOMENT.replace("startsAt", "endsAt") + f"'{NEVER}'",
        ),
        (
            payload(alert(labels=["a"])),
            "alerts[0].labels must be an object, got a value of type list",
        ),
        (
            payload(alert(annotations={"a": 1})),
            "each value of alerts[0].annotations must be text, got a value of type int",
        ),
        (
            payload(alert(generatorURL=1)),
            "alerts[0].generatorURL must be text, got a value of type int",
        ),
    ],
)
def test_the_reason_names_place_allowed_and_got(document: Json, reason: str) -> None:
    """Whoever reads Alertmanager's log knows what to change."""
    with pytest.raises(BrokenPayload) as broken:
        read(document)
    assert str(broken.value) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*alert(), *payload()])


@st.composite
def damaged(draw: st.DrawFn) -> object:
    """Make a delivery of which some keys have any value."""
    alerts = [
        {**draw(st.sampled_from([alert(), resolved()])), **draw(st.dictionaries(KEYS, JSON))}
        for _ in range(draw(st.integers(0, 3)))
    ]
    return {**payload(*alerts), **draw(st.dictionaries(KEYS, JSON, max_size=2))}


@MORE
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing but `BrokenPayload` comes out of what a stranger sends."""
    with contextlib.suppress(BrokenPayload):
        parse(body)


@MORE
@given(damaged())
def test_any_damage_is_read_or_refused(document: object) -> None:
    """What is read can be stored: text that is text, times that exist, news that differ."""
    try:
        found = read(document)
    except BrokenPayload:
        return
    for one in found.alerts:
        texts = [*one.labels, *one.labels.values(), *one.annotations.values(), one.generator_url]
        assert "\0" not in "".join(texts).encode().decode()
        assert (one.ends_at is None) == (one.status == "firing")
        assert one.ends_at is None or one.ends_at >= one.starts_at
    assert len({one.key for one in found.alerts}) == len(found.alerts)
