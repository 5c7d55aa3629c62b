"""What an alert says about runs and pipelines, and how a given one becomes a row."""

from __future__ import annotations

import re
from datetime import datetime
from typing import overload
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from etl_telemetry import catalogue
from etl_telemetry.django.alerts.models import MAX_TEXT, Alert
from etl_telemetry.django.alerts.payload import Delivery, GivenAlert
from etl_telemetry.pipelines.inputs import given_run_id
from etl_telemetry.pipelines.run import root_context

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


def row(alert: GivenAlert, delivery: Delivery, *, identity: UUID, now: datetime) -> Alert:
    """Return the row for an alert, not saved yet."""
    run_id = given_run_id(_told(alert, catalogue.PIPELINE_RUN_ID)) or ""
    organization = _told(alert, catalogue.ORGANIZATION, catalogue.PIPELINE_ORGANIZATION)
    return Alert(
        fingerprint=alert.fingerprint,
        status=alert.status,
        starts_at=in_database(alert.starts_at),
        ends_at=in_database(alert.ends_at),
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        generator_url=alert.generator_url,
        external_url=delivery.external_url,
        receiver=delivery.receiver[:MAX_TEXT],
        name=alert.labels.get("alertname", "")[:MAX_TEXT],
        severity=alert.labels.get("severity", "")[:MAX_TEXT],
        organization=organization[:MAX_TEXT],
        pipeline_name=_told(alert, catalogue.PIPELINE_NAME)[:MAX_TEXT],
        run_id=run_id,
        trace_id=_trace_id(alert, run_id),
        received_at=in_database(now),
        heard_at=in_database(now),
        delivery=identity,
    )


@overload
def in_database(moment: datetime) -> datetime: ...
@overload
def in_database(moment: None) -> None: ...
def in_database(moment: datetime | None) -> datetime | None:
    """Return a moment as Django's databases take it: naive local time without `USE_TZ`."""
    if moment is None or settings.USE_TZ:
        return moment
    # Not the current one, which a middleware may set for each user.
    return timezone.make_naive(moment, timezone.get_default_timezone())


def _told(alert: GivenAlert, *keys: str) -> str:
    """Return the first of these in labels, then annotations; Prometheus writes `_` for `.`."""
    names = [name for key in keys for name in (key, key.replace(".", "_"))]
    for place in (alert.labels, alert.annotations):
        for name in names:
            if place.get(name):
                return place[name]
    return ""


def _trace_id(alert: GivenAlert, run_id: str) -> str:
    told = _told(alert, "trace_id").lower()
    if _TRACE_ID.fullmatch(told):
        return told
    return f"{root_context(run_id).trace_id:032x}" if run_id else ""
