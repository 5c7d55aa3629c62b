"""Variables of OpenTelemetry, of the former stack, and without prefix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.config import Config, resolve
from etl_telemetry.config.standard import CHECKED
from etl_telemetry.errors import ConfigurationError
from support.patience import PATIENT

# What the specification names, by a value that is not the default.
STANDARD = {
    "OTEL_SERVICE_NAME": ("shop", "service_name", "shop"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("http://c:4318", "endpoint", "http://c:4318"),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("http://c:1/t", "traces_endpoint", "http://c:1/t"),
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": ("http://c:1/m", "metrics_endpoint", "http://c:1/m"),
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": ("http://c:1/l", "logs_endpoint", "http://c:1/l"),
    "OTEL_EXPORTER_OTLP_PROTOCOL": ("grpc", "protocol", "grpc"),
    "OTEL_TRACES_EXPORTER": ("none", "traces_exporter", "none"),
    "OTEL_METRICS_EXPORTER": ("console", "metrics_exporter", "console"),
    "OTEL_LOGS_EXPORTER": ("none", "logs_exporter", "none"),
    "OTEL_TRACES_SAMPLER": ("traceidratio", "sampler", "traceidratio"),
    "OTEL_TRACES_SAMPLER_ARG": ("0.25", "sampler_arg", 0.25),
    "OTEL_SDK_DISABLED": ("true", "enabled", False),
    "OTEL_PROPAGATORS": ("tracecontext,b3", "propagators", ("tracecontext", "b3")),
    "OTEL_METRIC_EXPORT_INTERVAL": ("5000", "metric_interval", 5.0),
    "OTEL_BSP_SCHEDULE_DELAY": ("250", "span_delay", 0.25),
    "OTEL_BLRP_MAX_QUEUE_SIZE": ("4096", "log_queue_size", 4096),
}


@pytest.mark.parametrize("variable", STANDARD)
def test_standard_variable_gives_its_field(variable: str) -> None:
    """The names that every OpenTelemetry user knows."""
    text, name, value = STANDARD[variable]
    config = resolve({}, {variable: text}, None)
    assert (getattr(config, name), config.warnings) == (value, ())


def test_wrong_standard_values_are_one_warning_and_defaults() -> None:
    """Never fatal, all in one list, and the next source counts."""
    environ = {
        "OTEL_TRACES_SAMPLER": "alwayson",
        "OTEL_METRIC_EXPORT_INTERVAL": "1m",
        "OTEL_SDK_DISABLED": "1",
        "OTEL_SPAN_EVENT_COUNT_LIMIT": "-1",
        "ETL_TELEMETRY_METRIC_INTERVAL": "30",
    }
    config = resolve({}, environ, None)
    assert config.warnings == (
        (
            "4 wrong values are ignored, as if not set:\n"
            "  - OTEL_SDK_DISABLED must be true or false, got '1' (from the environment); "
            "correct it or remove it\n"
            "  - OTEL_METRIC_EXPORT_INTERVAL must be a number of milliseconds above 0, got '1m' "
            "(from the environment); correct it or remove it\n"
            "  - OTEL_TRACES_SAMPLER must be one of always_on, always_off, traceidratio, "
            "parentbased_always_on, parentbased_always_off, parentbased_traceidratio, got "
            "'alwayson' "
            "(from the environment); did you mean 'always_on'?\n"
            "  - OTEL_SPAN_EVENT_COUNT_LIMIT must be a whole number of at least 0, got '-1' "
            "(from the environment); correct it or remove it"
        ),
    )
    assert (config.sampler, config.enabled) == (Config().sampler, True)
    assert config.metric_interval == 30.0
    assert config.ignored_variables == ("OTEL_SPAN_EVENT_COUNT_LIMIT",)


@pytest.mark.parametrize(
    ("variable", "right", "wrong"),
    [
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "unset", "long"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2.5", "2s"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "10", "0"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip", "zip"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true", "yes"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta", "both"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_off", "ALWAYS_OFF"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "30000", "-1"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b", "a"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b", "a"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b", "a"),
    ],
)
def test_what_others_read_is_checked_and_named(variable: str, right: str, wrong: str) -> None:
    """The SDK raises for some of them: whoever builds it is told which to take away."""
    assert resolve({}, {variable: right}, None).ignored_variables == ()
    config = resolve({}, {variable: wrong}, None)
    assert config.ignored_variables == (variable,)
    assert config.warnings[0].startswith(
        f"1 wrong value is ignored, as if not set:\n  - {variable}"
    )


def test_headers_of_the_standard_variable_are_left_to_the_exporters() -> None:
    """They win over ours, and the secret is not copied."""
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=standard",
        "ETL_TELEMETRY_HEADERS": "api-key=own",
    }
    assert dict(resolve({}, environ, None).headers) == {}
    assert dict(resolve({"headers": {"api-key": "option"}}, environ, None).headers) == {
        "api-key": "option"
    }
    del environ["OTEL_EXPORTER_OTLP_HEADERS"]
    assert dict(resolve({}, environ, None).headers) == {"api-key": "own"}


SECRET = st.from_regex(r"s3cr3t[a-z0-9]{8}", fullmatch=True)


@PATIENT
@given(secret=SECRET, broken=st.sampled_from(["{}", "k={},{}", "k=%FF{}", "a b={}", "k=a%0A{}"]))
def test_secrets_are_never_shown(secret: str, broken: str) -> None:
    """Not in an error, not in a warning, not in `repr`."""
    text = broken.replace("{}", secret)
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        config = resolve({}, {name: text}, None)
        assert secret not in str(config.warnings)
    with pytest.raises(ConfigurationError) as raised:
        resolve(
            {"headers": secret, "endpoint": f"htp://ann:{secret}@host", "nonsense": secret},
            {"ETL_TELEMETRY_HEADERS": text, "ETL_TELEMETRY_NONSENSE": secret},
            {"HEADERS": [secret], "NONSENSE": secret},
        )
    assert secret not in str(raised.value)
    assert secret not in repr(
        resolve({"headers": {"k": secret}, "endpoint": f"http://ann:{secret}@host"}, {}, None)
    )


def test_former_variables_name_their_replacement() -> None:
    """Whoever moves from the former stack is told what to set, without the values."""
    config = resolve(
        {},
        {
            "JAEGER_AGENT_PORT": "6831",
            "JAEGER_AGENT_HOST": "jaeger",
            "JAEGER_COLLECTOR_ENDPOINT": "http://jaeger:14268/api/traces",
            "ELASTICSEARCH_URL": "http://elastic:changeme@search:9200",
            "OTEL_CONFIG_FILE": "/etc/otel.yaml",
        },
        None,
    )
    assert config == Config(warnings=config.warnings)
    assert config.warnings == (
        (
            "JAEGER_AGENT_HOST, JAEGER_AGENT_PORT, JAEGER_COLLECTOR_ENDPOINT are not read: "
            "Jaeger receives OTLP: set OTEL_EXPORTER_OTLP_ENDPOINT to the Collector, "
            "and Jaeger in the Collector's configuration"
        ),
        (
            "ELASTICSEARCH_URL is not read: log records go to the Collector "
            "(OTEL_EXPORTER_OTLP_ENDPOINT): set Elasticsearch in the Collector's configuration"
        ),
        (
            "OTEL_CONFIG_FILE is not read: a configuration file is not supported: "
            "set the single variables"
        ),
    )


@pytest.mark.parametrize(
    ("text", "tracing"), [("true", True), ("False", False), ("0", False), ("", True)]
)
def test_enable_tracing(text: str, tracing: bool) -> None:  # noqa: FBT001 - a parameter
    """False switches traces off, unset means on."""
    assert resolve({}, {"ENABLE_TRACING": text}, None).tracing is tracing


def test_variables_without_prefix() -> None:
    """They stay from the former stack; ours with the prefix win over them."""
    environ = {
        "ENVIRONMENT": "production",
        "BUILD_DATE": "2026-11-22",
        "DEBUG_CONNECTORS": "0",
        "DJANGO_LOG_LEVEL": "debug",
    }
    assert resolve({}, environ, None) == Config(
        environment="production",
        build_date="2026-11-22",
        debug_connectors=True,
        django_log_level="DEBUG",
    )
    environ |= {"ETL_TELEMETRY_ENVIRONMENT": "staging", "ETL_TELEMETRY_DEBUG_CONNECTORS": "0"}
    config = resolve({}, environ, None)
    assert (config.environment, config.debug_connectors) == ("staging", False)


def test_wrong_variable_without_prefix_is_a_warning() -> None:
    """Such a name may belong to somebody else."""
    config = resolve({}, {"ENABLE_TRACING": "perhaps", "DJANGO_LOG_LEVEL": "LOUD"}, None)
    assert config == Config(warnings=config.warnings)
    assert config.warnings == (
        (
            "2 wrong values are ignored, as if not set:\n"
            "  - ENABLE_TRACING must be true or false, got 'perhaps' (from the environment); "
            "correct it or remove it\n"
            "  - DJANGO_LOG_LEVEL must be a level of logging: DEBUG, INFO, WARNING, "
            "ERROR, CRITICAL, "
            "got 'LOUD' (from the environment); correct it or remove it"
        ),
    )


def test_every_checked_variable_is_standard() -> None:
    """None of ours stands among those that others read."""
    assert [name for name in CHECKED if not name.startswith("OTEL_")] == []
