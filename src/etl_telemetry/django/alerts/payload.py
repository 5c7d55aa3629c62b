"""What Alertmanager sends (webhook, version 4), read without trust.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Keys that are not
known are ignored; what is broken is refused as a whole, with a reason that names the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

FIRING = "firing"
RESOLVED = "resolved"
VERSION = "4"

_MAX_FINGERPRINT = 64
_MAX_SHOWN = 80
_YEARS = range(1970, 9_999)  # A database or a time zone takes no less or more.
_FINGERPRINT = re.compile(rf"[!-~]{{1,{_MAX_FINGERPRINT}}}")
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_NEVER = re.compile(r"0001-01-01T00:00:00(\.0+)?Z")
"""Go's zero time: how Alertmanager writes the end of an alert that goes on."""


class BrokenPayload(ValueError):  # noqa: N818 - it reads as what it tells
    """A payload that cannot be read; its text is the reason, for the sender."""


@dataclass(frozen=True, slots=True)
class GivenAlert:
    """One alert of a delivery."""

    fingerprint: str
    """What its labels amount to: the same for the same alert."""
    status: str
    """`firing` or `resolved`."""
    starts_at: datetime
    """When it began, in UTC."""
    ends_at: datetime | None
    """When it ended, in UTC, never before its begin; None while it is firing."""
    labels: Mapping[str, str]
    """What identifies it."""
    annotations: Mapping[str, str]
    """What is told about it."""
    generator_url: str
    """Where the rule can be seen; empty where that is not told."""

    @property
    def key(self) -> tuple[str, datetime, str]:
        """What makes it the same news as another one."""
        return (self.fingerprint, self.starts_at, self.status)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of Alertmanager."""

    receiver: str
    """Name of the receiver in Alertmanager's configuration."""
    external_url: str
    """Address of that Alertmanager."""
    left_out: int
    """Alerts that it left out, since the configuration names a maximum."""
    alerts: tuple[GivenAlert, ...]
    """Alerts, each piece of news once, a begin before its end."""


def parse(body: bytes) -> Delivery:
    """Return what a request body says; raise `BrokenPayload`.

    >>> parse(b'{"version": "4", "receiver": "etl", "alerts": []}').receiver
    'etl'
    >>> parse(b'{"version": "4", "alerts": [{"status": "pending"}]}')
    Traceback (most recent call last):
    etl_telemetry.django.alerts.payload.BrokenPayload: alerts[0].status must be 'firing' or \
'resolved', got 'pending'
    """
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenPayload(f"the body must be JSON: {type(error).__name__}") from None
    payload = _object(read, "the body")
    if payload.get("version") != VERSION:
        raise _broken("version", f"{VERSION!r}", payload.get("version"))
    listed = payload.get("alerts")
    if not isinstance(listed, list):
        raise _broken("alerts", "a list", listed)
    alerts = [_alert(item, f"alerts[{place}]") for place, item in enumerate(listed)]
    left_out = payload.get("truncatedAlerts", 0)
    if not isinstance(left_out, int) or isinstance(left_out, bool) or left_out < 0:
        raise _broken("truncatedAlerts", "a whole number of at least 0", left_out)
    # Sorted, so that two deliveries lock the same rows in the same order.
    by_key = {alert.key: alert for alert in alerts}
    return Delivery(
        receiver=_text(payload, "receiver", ""),
        external_url=_text(payload, "externalURL", ""),
        left_out=left_out,
        alerts=tuple(by_key[key] for key in sorted(by_key)),
    )


def _alert(item: object, place: str) -> GivenAlert:
    alert = _object(item, place)
    status = alert.get("status")
    if status not in (FIRING, RESOLVED):
        raise _broken(f"{place}.status", f"{FIRING!r} or {RESOLVED!r}", status)
    fingerprint = alert.get("fingerprint")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        allowed = f"1 to {_MAX_FINGERPRINT} printable ASCII characters"
        raise _broken(f"{place}.fingerprint", allowed, fingerprint)
    starts_at = _moment(alert.get("startsAt"), f"{place}.startsAt")
    ends_at = None
    if status == RESOLVED:
        # Clocks differ: an end before the begin would end nothing.
        ends_at = max(_moment(alert.get("endsAt"), f"{place}.endsAt"), starts_at)
    return GivenAlert(
        fingerprint=fingerprint,
        status=status,
        starts_at=starts_at,
        ends_at=ends_at,
        labels=_texts(alert, "labels", place),
        annotations=_texts(alert, "annotations", place),
        generator_url=_text(alert, "generatorURL", f"{place}."),
    )


def _moment(value: object, place: str) -> datetime:
    if isinstance(value, str) and _RFC_3339.fullmatch(value) and not _NEVER.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise _broken(place, "a time that exists", value) from None
        if moment.year in _YEARS:
            return moment
    raise _broken(place, f"a time of RFC 3339 in the years {_YEARS[0]} to {_YEARS[-1]}", value)


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _broken(place, "an object", value)
    return value


def _texts(alert: Mapping[str, object], key: str, place: str) -> dict[str, str]:
    found = _object(alert.get(key, {}), f"{place}.{key}")
    for value in found.values():
        if not isinstance(value, str):
            raise _broken(f"each value of {place}.{key}", "text", value)
    return {_storable(name): _storable(value) for name, value in found.items()}


def _text(payload: Mapping[str, object], key: str, place: str) -> str:
    value = payload.get(key, "")
    if not isinstance(value, str):
        raise _broken(f"{place}{key}", "text", value)
    return _storable(value)


def _storable(text: str) -> str:
    """Replace what PostgreSQL takes in no text: NUL, and half a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _broken(place: str, allowed: str, got: object) -> BrokenPayload:
    if isinstance(got, str):
        shown = repr(_storable(got[:_MAX_SHOWN]))
    else:
        shown = "nothing" if got is None else f"a value of type {type(got).__name__}"
    return BrokenPayload(f"{place} must be {allowed}, got {shown}")
