"""Cases of the alerts on telemetry and Collector."""

from __future__ import annotations

from support.rules.case import Case, labels, selector, series


def _drops(reason: str, instance: str = "a") -> str:
    return series("telemetry_drops_total", instance, reason=reason)


_FULL = labels(job="etl", reason="queue_full")
_DROPPED = (
    Case("TelemetryDropped", "fires", "a queue is full", {_drops("queue_full"): "0+1x30"},
         at="20m", firing=(_FULL,), value="15", summary="etl drops telemetry: queue_full"),
    Case("TelemetryDropped", "quiet", "nothing is dropped", {_drops("queue_full"): "0x30"},
         at="20m"),
    Case("TelemetryDropped", "missing", "nothing was ever dropped", {}, at="20m"),
    Case("TelemetryDropped", "restart", "a process begins again at zero",
         {_drops("queue_full"): "7x30 0x30"}, at="40m"),
    Case("TelemetryDropped", "labels", "a value that was cut is not lost; processes add up",
         {_drops("truncated"): "0+1x30", _drops("queue_full"): "0+1x30",
          _drops("queue_full", "b"): "0+1x30"},
         at="20m", firing=(_FULL,)),
)  # fmt: skip

_UP = 'up{job="collector", instance="gw-1:8888"}'
_DOWN = (
    Case("CollectorDown", "fires", "it does not answer", {_UP: "1x5 0x20"},
         at="10m", firing=({"job": "collector", "instance": "gw-1:8888"},),
         summary="The Collector gw-1:8888 is down"),
    Case("CollectorDown", "quiet", "it answers", {_UP: "1x20"}, at="10m"),
    Case("CollectorDown", "missing", "Prometheus was told of none", {}, at="10m"),
    Case("CollectorDown", "restart", "it was away for a moment", {_UP: "1x5 0 1x20"}, at="10m"),
    Case("CollectorDown", "labels", "one of two, and no other job",
         {_UP: "0x20", 'up{job="collector", instance="gw-2:8888"}': "1x20",
          'up{job="web", instance="w:80"}': "0x20"},
         at="10m", firing=({"job": "collector", "instance": "gw-1:8888"},)),
)  # fmt: skip


def _own(name: str, exporter: str = "otlp_http/jaeger", **more: str) -> str:
    pairs = {"job": "collector", "instance": "gw-1:8888", "exporter": exporter, **more}
    return selector(name, pairs)


_SIZE = _own("otelcol_exporter_queue_size", data_type="traces")
_CAPACITY = _own("otelcol_exporter_queue_capacity", data_type="traces")
_QUEUE = {"instance": "gw-1:8888", "exporter": "otlp_http/jaeger", "data_type": "traces"}
_FILLING = (
    Case("CollectorQueueFilling", "fires", "it is three quarters full",
         {_SIZE: "750x20", _CAPACITY: "1000x20"}, at="10m", firing=(_QUEUE,),
         summary="Queue of otlp_http/jaeger (traces) is 75% full"),
    Case("CollectorQueueFilling", "quiet", "half full is allowed",
         {_SIZE: "500x20", _CAPACITY: "1000x20"}, at="10m"),
    Case("CollectorQueueFilling", "missing", "the Collector is down: another alert tells",
         {_SIZE: "750x2 stale", _CAPACITY: "1000x2 stale"}, at="10m"),
    Case("CollectorQueueFilling", "restart", "it comes back and has worked off its queue",
         {_SIZE: "750x2 0x20", _CAPACITY: "1000x20"}, at="10m"),
    Case("CollectorQueueFilling", "labels", "the queue that fills, and no other",
         {_SIZE: "750x20", _CAPACITY: "1000x20",
          _own("otelcol_exporter_queue_size", "elasticsearch/logs", data_type="logs"): "1x20",
          _own("otelcol_exporter_queue_capacity", "elasticsearch/logs", data_type="logs"):
              "1000x20"},
         at="10m", firing=(_QUEUE,)),
)  # fmt: skip

_EXPORTER = {"instance": "gw-1:8888", "exporter": "otlp_http/jaeger"}
_LOSING = (
    Case("CollectorLosing", "fires", "spans do not fit into the queue",
         {_own("otelcol_exporter_enqueue_failed_spans"): "0+5x20"},
         at="15m", firing=(_EXPORTER,), value="50",
         summary="The Collector loses what is meant for otlp_http/jaeger"),
    Case("CollectorLosing", "quiet", "nothing failed",
         {_own("otelcol_exporter_enqueue_failed_spans"): "0x20"}, at="15m"),
    Case("CollectorLosing", "missing", "nothing ever failed",
         {_own("otelcol_exporter_sent_spans"): "0+5x20"}, at="15m"),
    Case("CollectorLosing", "restart", "it begins again at zero",
         {_own("otelcol_exporter_enqueue_failed_spans"): "9x15 0x30"}, at="30m"),
    Case("CollectorLosing", "labels", "what a backend refused for good is lost as well",
         {_own("otelcol_exporter_send_failed_log_records", "elasticsearch/logs"): "0+5x20",
          _own("otelcol_exporter_send_failed_spans"): "0x20"},
         at="15m", firing=({**_EXPORTER, "exporter": "elasticsearch/logs"},)),
)  # fmt: skip


def _refused(kind: str, receiver: str = "otlp") -> str:
    pairs = {"job": "collector", "instance": "gw-1:8888", "receiver": receiver}
    return selector(f"otelcol_receiver_refused_{kind}", pairs)


_AT = {"instance": "gw-1:8888", "receiver": "otlp"}
_REFUSING = (
    Case("CollectorRefusing", "fires", "it refuses spans", {_refused("spans"): "0+5x30"},
         at="20m", firing=(_AT,), value="50",
         summary="The Collector gw-1:8888 refuses what it is sent"),
    Case("CollectorRefusing", "quiet", "it refuses nothing", {_refused("spans"): "0x30"}, at="20m"),
    Case("CollectorRefusing", "quiet", "for a moment, which senders bridge",
         {_refused("spans"): "0x5 9x30"}, at="8m"),
    Case("CollectorRefusing", "missing", "nobody has sent anything", {}, at="20m"),
    Case("CollectorRefusing", "restart", "it begins again at zero",
         {_refused("spans"): "9x15 0x30"}, at="30m"),
    Case("CollectorRefusing", "labels", "all kinds together, by receiver",
         {_refused("spans"): "0+5x30", _refused("log_records"): "0+5x30",
          _refused("spans", "kafka"): "0x30"},
         at="20m", firing=(_AT,)),
)  # fmt: skip

_WAITING = series("audit_events_waiting", "observer", database_alias="default")
_AUDIT = (
    Case("AuditNotDelivered", "fires", "two events have waited for a quarter of an hour",
         {_WAITING: "2x20"}, at="15m", firing=(labels(database_alias="default"),),
         summary="2 audit events in default wait"),
    Case("AuditNotDelivered", "quiet", "they are delivered within a minute",
         {_WAITING: "2 0 3 0 1 0x20"}, at="15m"),
    Case("AuditNotDelivered", "missing", "nobody reads the table: another alert tells",
         {_WAITING: "2x2 stale"}, at="15m"),
    Case("AuditNotDelivered", "restart", "the next observer delivers them",
         {_WAITING: "2x4 0x20"}, at="15m"),
    Case("AuditNotDelivered", "labels", "the database that is not drained, and no other",
         {_WAITING: "2x20", series("audit_events_waiting", database_alias="eu"): "0x20"},
         at="15m", firing=(labels(database_alias="default"),)),
)  # fmt: skip


def _untold(integration: str = "slack", reason: str = "other") -> str:
    pairs = {"job": "alertmanager", "instance": "am:9093"}
    pairs |= {"integration": integration, "reason": reason}
    return selector("alertmanager_notifications_failed_total", pairs)


_BY_SLACK = {"instance": "am:9093", "integration": "slack"}
_UNTOLD = (
    Case("NotificationsFailing", "fires", "each message to Slack has failed for half an hour",
         {_untold(): "0+1x40"}, at="30m", firing=(_BY_SLACK,), value="10",
         summary="Alertmanager cannot tell people by slack"),
    Case("NotificationsFailing", "quiet", "one failed, and the next one got out",
         {_untold(): "0x5 1x40"}, at="16m"),
    Case("NotificationsFailing", "missing", "there is no Alertmanager", {}, at="30m"),
    Case("NotificationsFailing", "restart", "it begins again at zero",
         {_untold(): "9x15 0x30"}, at="30m"),
    Case("NotificationsFailing", "labels", "whatever the reason, the channel that fails only",
         {_untold(): "0+1x40", _untold(reason="clientError"): "0+1x40",
          _untold("email"): "0x40"},
         at="30m", firing=(_BY_SLACK,)),
)  # fmt: skip

CASES = (*_AUDIT, *_DROPPED, *_DOWN, *_FILLING, *_LOSING, *_REFUSING, *_UNTOLD)
"""All of them."""
