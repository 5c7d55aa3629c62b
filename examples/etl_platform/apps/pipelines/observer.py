"""Read shared state and say it: runs that are active, last successes, waiting messages.

One process does this, the reporter: if each worker did, every figure would be there as
often as there are workers.
"""

from __future__ import annotations

import logging

from celery import current_app
from django.db import connection
from django.db.models import Max
from kombu.exceptions import OperationalError

from apps.pipelines import services
from apps.pipelines.models import PipelineRun, RunOutbox
from etl_telemetry import metrics

logger = logging.getLogger(__name__)


def observe() -> None:
    """End overdue runs, then record every gauge."""
    services.end_overdue()
    active = PipelineRun.objects.filter(status__in=PipelineRun.ACTIVE).count()
    metrics.record_active_runs(active)
    for pipeline, organization, when in _last_successes():
        metrics.record_last_success(pipeline, organization, when.timestamp())
    if connection.vendor == "postgresql":
        metrics.record_database_connections({"postgresql": _connections()})
    sizes = queue_sizes()
    if sizes:
        metrics.record_queue_sizes(sizes)


def _last_successes() -> object:
    successes = RunOutbox.objects.filter(status=PipelineRun.Status.SUCCESS).order_by()
    return successes.values_list("pipeline_name", "organization").annotate(Max("finished_at"))


def _connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def queue_sizes() -> dict[str, int]:
    """Return the number of messages that wait in each queue; empty without a broker."""
    name = current_app.conf.task_default_queue
    with current_app.connection_for_read() as broker:
        try:
            broker.ensure_connection(max_retries=1, timeout=2)
            with broker.default_channel as channel:
                declared = channel.queue_declare(queue=name, durable=True, auto_delete=False)
        except (OperationalError, *broker.connection_errors, *broker.channel_errors):
            logger.warning("broker_not_readable")
            return {}
    return {name: declared.message_count}
