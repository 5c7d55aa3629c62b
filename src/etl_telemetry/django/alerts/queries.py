"""Questions about alerts, for pages and APIs; who may see what is the caller's to say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet

from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.alerts.payload import FIRING

_STILL_TOLD = timedelta(minutes=5)


def active(
    *, organizations: Collection[str] | None = None, with_platform: bool = False
) -> QuerySet[Alert]:
    """Return the alerts that go on now, the newest first; each once.

    An alert has ended when an end at or after its begin was told. One that is repeated as firing
    more than five minutes after that goes on again: Alertmanager ends an alert also when it hears
    no more of it, and takes it up with its old begin.

    Args:
        organizations: Only alerts that name one of these; None for all.
        with_platform: Beside those also alerts that name no organization.

    >>> from etl_telemetry.django.alerts.queries import active  # doctest: +SKIP
    >>> [alert.name for alert in active(organizations=["acme"])]  # doctest: +SKIP
    ['PipelineFailureRate']
    """
    same = Alert.objects.filter(fingerprint=OuterRef("fingerprint"))
    # Only an end has `ends_at`. Asked for `status` too, SQLite would look through all ends.
    ended = same.filter(
        ends_at__gte=OuterRef("starts_at"),
        heard_at__gte=OuterRef("heard_at") - _STILL_TOLD,
    )
    # Asked first: one look into the index, and it leaves one begin of each alert.
    later = same.filter(status=FIRING, starts_at__gt=OuterRef("starts_at"))
    found = Alert.objects.filter(~Exists(later), ~Exists(ended), status=FIRING)
    return _of(found, organizations, with_platform=with_platform).order_by("-starts_at", "-pk")


def active_by_pipeline(
    *, organizations: Collection[str] | None = None
) -> dict[tuple[str, str], list[Alert]]:
    """Return the alerts that go on now by organization and pipeline, in one query.

    Alerts that name no pipeline are left out.
    """
    found: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for alert in active(organizations=organizations).exclude(pipeline_name=""):
        found[alert.organization, alert.pipeline_name].append(alert)
    return dict(found)


def history(
    *, organizations: Collection[str] | None = None, with_platform: bool = False
) -> QuerySet[Alert]:
    """Return all news, the latest first: begins and ends. Slice it."""
    found = _of(Alert.objects.all(), organizations, with_platform=with_platform)
    return found.order_by("-received_at", "-pk")


def as_json(alert: Alert) -> dict[str, object]:
    """Return an alert as the JSON API shows it."""
    return {
        "fingerprint": alert.fingerprint,
        "name": alert.name,
        "status": alert.status,
        "severity": alert.severity,
        "summary": alert.summary,
        "organization": alert.organization,
        "pipeline_name": alert.pipeline_name,
        "run_id": alert.run_id,
        "trace_id": alert.trace_id,
        "starts_at": alert.starts_at.isoformat(),
        "ends_at": alert.ends_at.isoformat() if alert.ends_at else None,
        "heard_at": alert.heard_at.isoformat(),
        "labels": alert.labels,
        "annotations": alert.annotations,
        "links": alert.links,
    }


def _of(
    found: QuerySet[Alert], organizations: Collection[str] | None, *, with_platform: bool
) -> QuerySet[Alert]:
    if organizations is None:
        return found
    # An empty name is no organization: whoever is in none must not see what belongs to none.
    named = {name for name in organizations if name}
    return found.filter(organization__in=named | ({""} if with_platform else set()))
