"""Store a delivery: each piece of news once, however often and by how many it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from django.db import connections, router, transaction

from etl_telemetry.django.alerts.facts import in_database, row
from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.alerts.payload import Delivery

MAX_ROWS = 100_000
"""Rows that the table holds; past it the oldest are deleted, whatever their age."""
_KEY = ("fingerprint", "starts_at", "status")
_RETOLD = ("heard_at", "ends_at", "annotations")


def keep(delivery: Delivery) -> list[Alert]:
    """Store what is new, note what was told again; return the new rows, a begin before its end.

    The database decides what is new, by the unique constraint, so that two deliveries at the same
    moment share no news.

    Raises:
        django.db.Error: The database does not take it; nothing was stored then.
    """
    identity, now = uuid4(), datetime.now(UTC)
    rows = [row(alert, delivery, identity=identity, now=now) for alert in delivery.alerts]
    if not rows:
        return []
    alias = router.db_for_write(Alert)
    features = connections[alias].features
    with transaction.atomic(using=alias):
        Alert.objects.using(alias).bulk_create(
            rows,
            update_conflicts=True,
            update_fields=_RETOLD,
            # MySQL takes whichever constraint it meets, and there is but one.
            unique_fields=_KEY if features.supports_update_conflicts_with_target else None,
        )
        # Inside: where this fails nothing must stay stored, or it would never be announced.
        new = list(Alert.objects.using(alias).filter(delivery=identity))
    return sorted(new, key=lambda alert: (alert.starts_at, alert.status, alert.fingerprint))


def prune(retention_days: int) -> int:
    """Delete what was not heard of for so long, and what the table has no room for.

    Returns how many rows it were.
    """
    alias = router.db_for_write(Alert)
    alerts = Alert.objects.using(alias)
    oldest = in_database(datetime.now(UTC) - timedelta(days=retention_days))
    deleted, _ = alerts.filter(heard_at__lt=oldest).delete()
    beyond = alerts.order_by("-pk").values_list("pk", flat=True)[MAX_ROWS : MAX_ROWS + 1]
    for pk in beyond:
        deleted += alerts.filter(pk__lte=pk).delete()[0]
    return deleted
