"""The table: every field with its default, its kind, its variables and its meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from opentelemetry.util.types import AttributeValue

from etl_telemetry import redaction
from etl_telemetry.catalogue import BOUNDS, ORGANIZATION, PIPELINE_NAME, UNKNOWN
from etl_telemetry.config import kinds, several
from etl_telemetry.config.endpoints import ENDPOINT, URL
from etl_telemetry.config.field import Field, Variable, complete, setting
from etl_telemetry.config.kinds import BOOLEAN, MILLISECONDS, SECONDS, TEXT
from etl_telemetry.config.links import LINKS

__all__ = ["FIELDS", "INSTRUMENTATIONS", "Config", "Field", "Variable"]

INSTRUMENTATIONS = ("django", "celery", "psycopg2", "psycopg", "redis", "requests")
"""Names of what can be instrumented (a test compares them with `instrumentation.table`)."""

_EXPORTER = kinds.choice("otlp", "console", "none")
_PROTOCOL = kinds.choice("http/protobuf", "grpc")
_SAMPLER = kinds.choice(
    "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off",
    "parentbased_traceidratio",
)  # fmt: skip
_NAMES = several.names()
_COUNT = kinds.whole(at_least=1)
_TASK_TYPES = {"*extract*": "extract", "*transform*": "transform", "*load*": "load"}


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Config:
    """Everything that can be configured, resolved and checked.

    `repr` shows what differs from the defaults, without secrets.
    """

    # --- Who we are ---

    enabled: bool = setting(
        BOOLEAN, default=True, standard={"OTEL_SDK_DISABLED": kinds.SWITCHED_OFF}
    )
    """Whether anything is exported; False makes every call a cheap no-op."""
    service_name: str = setting(
        TEXT, default="unknown_service", standard="OTEL_SERVICE_NAME", attributes="service.name"
    )
    """Name of the service: the one thing to set."""
    service_version: str = setting(TEXT, default=UNKNOWN, attributes="service.version")
    """Version of the service; by default the content of a file `VERSION` in the working
    directory or in Django's `BASE_DIR`, else "unknown"."""
    service_instance_id: str | None = setting(TEXT, default=None, attributes="service.instance.id")
    """Identity of the process as a writer of metrics; None for a new one in each process.
    Forked children get a suffix."""
    environment: str = setting(
        TEXT,
        default="development",
        plain="ENVIRONMENT",
        attributes=("deployment.environment.name", "deployment.environment"),
    )
    """Name of the deployment, such as production."""
    build_date: str = setting(TEXT, default=UNKNOWN, plain="BUILD_DATE")
    """When the service was built, in any format; a label of `etl_platform_info`."""
    resource_attributes: Mapping[str, AttributeValue] = setting(
        several.ATTRIBUTES, default={}, standard="OTEL_RESOURCE_ATTRIBUTES"
    )
    """Further attributes of the service. Those of all sources are merged."""

    # --- Where telemetry goes ---

    tracing: bool = setting(BOOLEAN, default=True, plain="ENABLE_TRACING")
    """Whether there are traces; False switches them off, metrics and logs go on."""
    traces_exporter: str = setting(_EXPORTER, default="otlp", standard="OTEL_TRACES_EXPORTER")
    """How traces leave the process; "none" switches them off."""
    metrics_exporter: str = setting(_EXPORTER, default="otlp", standard="OTEL_METRICS_EXPORTER")
    """How metrics leave the process; "none" switches them off."""
    logs_exporter: str = setting(_EXPORTER, default="otlp", standard="OTEL_LOGS_EXPORTER")
    """How log records leave the process; "none" switches that off."""
    protocol: str = setting(
        _PROTOCOL, default="http/protobuf", standard="OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    """Protocol of OTLP for all signals."""
    traces_protocol: str = setting(
        _PROTOCOL,
        default="http/protobuf",
        standard="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        inherits="protocol",
    )
    """Protocol for traces; by default `protocol`."""
    metrics_protocol: str = setting(
        _PROTOCOL,
        default="http/protobuf",
        standard="OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        inherits="protocol",
    )
    """Protocol for metrics; by default `protocol`."""
    logs_protocol: str = setting(
        _PROTOCOL,
        default="http/protobuf",
        standard="OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
        inherits="protocol",
    )
    """Protocol for log records; by default `protocol`."""
    endpoint: str | None = setting(ENDPOINT, default=None, standard="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Address of the Collector for all signals; HTTP adds `/v1/traces` and so on. None for
    http://localhost:4318, with gRPC http://localhost:4317."""
    traces_endpoint: str | None = setting(
        ENDPOINT, default=None, standard="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    )
    """Full address for traces, to which nothing is added; None for the one of `endpoint`."""
    metrics_endpoint: str | None = setting(
        ENDPOINT, default=None, standard="OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    )
    """Full address for metrics, to which nothing is added; None for the one of `endpoint`."""
    logs_endpoint: str | None = setting(
        ENDPOINT, default=None, standard="OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
    )
    """Full address for log records, to which nothing is added; None for the one of `endpoint`."""
    headers: Mapping[str, str] = setting(
        several.HEADERS, default={}, exporters_read="OTEL_EXPORTER_OTLP_HEADERS", secret=True
    )
    """Headers of each export, for instance with a token. Those of `OTEL_EXPORTER_OTLP_HEADERS`
    are read by the exporters and stay out of the configuration."""
    metric_interval: float = setting(
        SECONDS, default=60.0, standard={"OTEL_METRIC_EXPORT_INTERVAL": MILLISECONDS}
    )
    """Seconds between two exports of metrics."""
    deadline: float = setting(SECONDS, default=2.0)
    """Seconds that a process takes at most, when it ends, to deliver all three signals."""
    span_queue_size: int = setting(_COUNT, default=2_048, standard="OTEL_BSP_MAX_QUEUE_SIZE")
    """Finished spans that wait for export; past it the oldest is dropped and counted."""
    span_batch_size: int = setting(_COUNT, default=512, standard="OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    """Spans per export; at most `span_queue_size`."""
    span_delay: float = setting(
        SECONDS, default=5.0, standard={"OTEL_BSP_SCHEDULE_DELAY": MILLISECONDS}
    )
    """Seconds between exports of spans while fewer than a batch wait."""
    log_queue_size: int = setting(_COUNT, default=2_048, standard="OTEL_BLRP_MAX_QUEUE_SIZE")
    """Log records that wait for export; past it the oldest is dropped and counted."""
    log_batch_size: int = setting(_COUNT, default=512, standard="OTEL_BLRP_MAX_EXPORT_BATCH_SIZE")
    """Log records per export; at most `log_queue_size`."""
    log_delay: float = setting(
        SECONDS, default=1.0, standard={"OTEL_BLRP_SCHEDULE_DELAY": MILLISECONDS}
    )
    """Seconds between exports of log records while fewer than a batch wait."""
    relay: bool = setting(BOOLEAN, default=True)
    """Whether the children of a Celery worker, and gunicorn's workers with our hook, hand their
    telemetry to their main process, which is the one writer; False lets each export for itself."""

    relay_socket: str | None = setting(TEXT, default=None)
    """Path of a socket in a directory that only this user may enter. A Celery worker listens there
    for its service; its spawned children, commands and scripts that name it hand over to it, and
    export for themselves where nobody answers."""

    # --- What is recorded ---

    sampler: str = setting(
        _SAMPLER, default="parentbased_always_on", standard="OTEL_TRACES_SAMPLER"
    )
    """Which traces are kept."""
    sampler_arg: float | None = setting(
        kinds.number(low=0, high=1), default=None, standard="OTEL_TRACES_SAMPLER_ARG"
    )
    """Share of traces that a sampler by ratio keeps; None for all."""
    trust_remote_sampling: bool = setting(BOOLEAN, default=False)
    """Whether a caller over HTTP decides, by its `traceparent`, that a trace is kept."""
    propagators: tuple[str, ...] = setting(
        several.INSTALLED_PROPAGATORS,
        default=("tracecontext", "baggage"),
        standard={"OTEL_PROPAGATORS": several.PROPAGATORS},
    )
    """How the context travels to other processes; "none" switches that off."""
    baggage_keys: tuple[str, ...] = setting(_NAMES, default=())
    """Baggage entries that are copied to spans and log records."""
    baggage_hosts: tuple[str, ...] = setting(several.HOSTS, default=())
    """Hosts that outbound requests carry the baggage to; none by default."""
    instrumentations: tuple[str, ...] | None = setting(
        several.names(*INSTRUMENTATIONS), default=None
    )
    """Libraries to instrument; None for all whose package and extra are installed."""
    task_types: Mapping[str, str] = setting(several.TASK_TYPES, default=_TASK_TYPES)
    """Pattern of a task's name (`*` for anything, in any case) -> its `task.type`; the first that
    matches counts, else "other". Replaces the default as a whole."""
    trusted_networks: tuple[str, ...] = setting(several.NETWORKS, default=())
    """Callers of Django, by the address that it sees, whose `traceparent` and baggage a request
    continues. From all others it is a new trace that links to theirs. A proxy in here passes on
    what its own clients sent."""
    excluded_paths: tuple[str, ...] = setting(several.PATHS, default=())
    """Paths of Django that are neither traced nor measured, such as those of health checks; `*`
    stands for anything."""
    trace_id_header: str | None = setting(several.HEADER, default=None)
    """Header of Django's responses that tells the trace id; None for no such header."""
    slow_request: float = setting(SECONDS, default=1.0)
    """Seconds above which a request is logged as `slow_request`."""
    slow_request_routes: Mapping[str, float] = setting(several.SECONDS_BY_ROUTE, default={})
    """The same for routes of their own, as in `http.route`; `*` stands for anything. The first
    that matches counts, an exact one before all."""
    high_query_count: int = setting(_COUNT, default=10)
    """Database queries above which a request is logged as `high_query_count`."""
    high_query_count_routes: Mapping[str, int] = setting(several.COUNT_BY_ROUTE, default={})
    """The same for routes of their own, as with `slow_request_routes`."""
    task_link_fan_out: int = setting(_COUNT, default=100)
    """Tasks that one span publishes outside of a run, as its children; each further one gets a
    trace of its own, linked to it."""
    task_link_eta: float = setting(SECONDS, default=3_600.0)
    """Seconds to the ETA of a task past which it gets a trace of its own, outside of a run."""
    broker_commands: bool = setting(BOOLEAN, default=False)
    """Whether what Celery itself says makes spans: to Redis (the polling of the broker, messages,
    results), and what a result backend asks a database."""
    task_arguments: tuple[str, ...] = setting(_NAMES, default=())
    """Arguments of tasks, by name, that their spans and log records tell; none by default."""
    task_subprocesses: bool = setting(BOOLEAN, default=True)
    """Whether the subprocesses of a task find its trace in their environment (`TRACEPARENT`)."""
    allow: tuple[str, ...] = setting(_NAMES, default=())
    """Names whose values leave the process unredacted, see `redaction.Policy`."""
    max_pipelines: int = setting(_COUNT, default=BOUNDS[PIPELINE_NAME])
    """Pipelines that get a label of their own; past it they are "other"."""
    max_organizations: int = setting(_COUNT, default=BOUNDS[ORGANIZATION])
    """Organizations that get a label of their own; past it they are "other"."""
    exponential_histograms: bool = setting(
        BOOLEAN,
        default=False,
        standard={"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": kinds.EXPONENTIAL},
    )
    """Whether histograms choose their buckets themselves, instead of the catalogue's."""

    # --- Logs and commands ---

    log_bridge: bool = setting(BOOLEAN, default=True)
    """Whether log records are exported; the console and files are yours in any case."""
    log_level: int = setting(kinds.LEVEL, default=0)
    """Lowest level that is exported; 0 for all that the loggers let through."""
    debug_connectors: bool = setting(
        BOOLEAN, default=False, plain={"DEBUG_CONNECTORS": kinds.ANYTHING}
    )
    """Whether `logging_config()` sets `apps.connectors` to DEBUG. It reads `DEBUG_CONNECTORS` (set
    to anything) itself."""
    django_log_level: str = setting(kinds.LEVEL_NAME, default="INFO", plain="DJANGO_LOG_LEVEL")
    """Level that `logging_config()` gives to the logger `django`. It reads `DJANGO_LOG_LEVEL`
    itself."""
    silent_commands: tuple[str, ...] = setting(_NAMES, default=())
    """Management commands of yours that export nothing, as Django's own do."""

    # --- The observer ---

    observer_instance_id: str = setting(TEXT, default="observer")
    """`service.instance.id` of what the observer reports, the same whichever process does. Only
    where two deployments share service name and backend does each need its own."""
    ledger_instance_id: str = setting(TEXT, default="ledger")
    """`service.instance.id` of what the ledger of runs has counted, the same whichever process
    drains it. As above."""
    observer_interval: float = setting(SECONDS, default=15.0)
    """Seconds between two readings of a source of the observer."""
    observer_queues: tuple[str, ...] = setting(_NAMES, default=())
    """Queues that the observer reads besides those that the Celery app knows."""
    rabbitmq_api: str | None = setting(URL, default=None, secret=True)
    """URL of RabbitMQ's management plugin, such as http://rabbitmq:15672. The observer reads there
    what workers hold and how old the oldest message is. User and password are those of the broker,
    unless the URL names others. Without it, both are not told for RabbitMQ; with another broker it
    is not read."""
    observer_sources: tuple[str, ...] = setting(several.CALLABLES, default=())
    """Functions of yours that return further sources of the observer, see there."""
    beat_tolerance: float = setting(SECONDS, default=60.0)
    """Seconds after which a schedule that was due and not sent counts as missed."""
    observer_in_beat: bool = setting(BOOLEAN, default=False)
    """Whether Celery's beat is an observer too, instead of a process of its own."""
    # --- The alert webhook ---

    alert_tokens: tuple[str, ...] = setting(several.BEARER_TOKENS, default=(), secret=True)
    """Bearer tokens of which Alertmanager must show one; several while they change. Without any,
    here or in `alert_tokens_file`, the webhook refuses everything."""
    alert_tokens_file: str | None = setting(TEXT, default=None)
    """File with further tokens, one a line; read again when it changes. None for no file."""
    alert_client_headers: Mapping[str, str] = setting(several.HEADERS, default={})
    """Headers with which a proxy of `alert_proxies` confirms a client certificate, such as
    `X-SSL-Client-Verify=SUCCESS`; all must match, besides the token. Empty: not asked for."""
    alert_proxies: tuple[str, ...] = setting(several.PROXIES, default=())
    """Proxies that `alert_client_headers` are taken from."""
    alert_max_bytes: int = setting(_COUNT, default=4 * 1024 * 1024)
    """Bytes of one delivery of alerts; a larger one is refused before it is read."""
    alert_rate: int = setting(_COUNT, default=600)
    """Deliveries of alerts that one process takes in a minute; more are answered 429."""
    alert_retention_days: int = setting(_COUNT, default=90)
    """Days after which a stored alert is deleted, counted from when it was last heard of."""
    # --- The application's own tables ---

    models: Mapping[str, object] = setting(several.MODELS, default={})
    """Your Django models of pipelines, runs, task runs, organizations and connectors."""
    run_deadline: float | None = setting(SECONDS, default=None)
    """Seconds after its begin at which a run that nobody finished is ended as lost; None for never.
    For Django projects that map a model of runs."""
    # --- Audit, with Django ---

    audit_table: bool = setting(BOOLEAN, default=True)
    """Whether audit events are rows of a table, and accounts are audited by themselves."""
    audit_models: tuple[str, ...] = setting(several.MODEL_NAMES, default=())
    """Models whose rows are audited when they are created, updated and deleted."""
    audit_hidden_fields: tuple[str, ...] = setting(_NAMES, default=())
    """Fields of these models (`Connector.options` as `shop.Connector.options`, or `options` of
    all) whose values are not told, besides those whose names look like secrets."""
    audit_tenant_field: str = setting(TEXT, default="organization_id")
    """Where a row has its tenant: a field or a lookup such as `organization__code`."""
    audit_proxies: tuple[str, ...] = setting(several.PROXIES, default=())
    """Proxies whose `X-Forwarded-For` is believed: addresses, networks, or `unix` for a server
    behind a Unix socket."""
    audit_heads_file: str | None = setting(TEXT, default=None)
    """File to which the drainer adds each head of the chain; None for the log stream only."""

    # --- The dashboard, with Django ---

    dashboard_access: str | None = setting(several.CALLABLE, default=None)
    """Function of yours that is given a user and returns the organizations whose pipelines it may
    see: instances, keys or a query set (names, where no organization is mapped), or
    `etl_telemetry.django.dashboard.ALL`. Anything else is nothing, None too. Without it
    `MODELS["organization"]["members"]` counts; without both only superusers see any."""
    dashboard_superusers: bool = setting(BOOLEAN, default=True)
    """Whether a superuser sees everything, whatever else is said; `is_staff` never counts."""
    dashboard_links: Mapping[str, str] = setting(LINKS, default={})
    """Links to your backends by their names for people, such as
    `{"Trace": "https://jaeger.example.com/trace/{trace_id}"}`. Placeholders: `{trace_id}`,
    `{run_id}`, `{pipeline}`, `{organization}`."""
    dashboard_refresh: float = setting(SECONDS, default=15.0)
    """Seconds between two refreshes of a page that somebody looks at."""

    # --- What `resolve` found on the way ---

    warnings: tuple[str, ...] = ()
    """Sentences for the log: wrong `OTEL_*` values, variables of the former stack."""
    ignored_variables: tuple[str, ...] = ()
    """`OTEL_*` variables with wrong values that the SDK would read itself, and fail."""

    def __repr__(self) -> str:
        """Show what differs from the defaults, without secrets."""
        parts = []
        for field in FIELDS:
            value = getattr(self, field.name)
            if value != field.default:
                parts.append(f"{field.name}={_shown(field, value)}")
        return f"Config({', '.join(parts)})"


def _shown(field: Field, value: object) -> str:
    if field.secret:
        return redaction.MASK
    if isinstance(value, str):
        return repr(redaction.urls(value))
    return repr(redaction.mapping(value) if isinstance(value, Mapping) else value)


FIELDS: tuple[Field, ...] = complete(Config)
"""The table as data: one `Field` for each field of `Config` that a user can set."""
