"""`resolve()`: precedence, resource attributes, the VERSION file, and all problems at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.config import FIELDS, Config, Field, resolve
from etl_telemetry.errors import ConfigurationError
from support.patience import PATIENT

# Three values of each field, as text; written again for variables that count otherwise.
SAMPLES: dict[str, tuple[str, str, str]] = {
    "enabled": ("true", "false", "true"),
    "service_instance_id": ("a", "b", "c"),
    "tracing": ("true", "false", "true"),
    "traces_exporter": ("otlp", "console", "none"),
    "metrics_exporter": ("otlp", "console", "none"),
    "logs_exporter": ("otlp", "console", "none"),
    "protocol": ("http/protobuf", "grpc", "http/protobuf"),
    "traces_protocol": ("http/protobuf", "grpc", "http/protobuf"),
    "metrics_protocol": ("http/protobuf", "grpc", "http/protobuf"),
    "logs_protocol": ("http/protobuf", "grpc", "http/protobuf"),
    "endpoint": ("http://a:1", "http://b:1", "http://c:1"),
    "traces_endpoint": ("http://a:1", "http://b:1", "http://c:1"),
    "metrics_endpoint": ("http://a:1", "http://b:1", "http://c:1"),
    "logs_endpoint": ("http://a:1", "http://b:1", "http://c:1"),
    "resource_attributes": ("k=a", "k=b", "k=c"),
    "headers": ("k=a", "k=b", "k=c"),
    "task_types": ("k=a", "k=b", "k=c"),
    "models": ('{"run": "a.A"}', '{"run": "b.B"}', '{"run": "c.C"}'),
    "span_queue_size": ("1000", "2000", "3000"),
    "log_queue_size": ("1000", "2000", "3000"),
    "sampler": ("always_on", "always_off", "traceidratio"),
    "sampler_arg": ("0.1", "0.2", "0.3"),
    "trust_remote_sampling": ("true", "false", "true"),
    "trusted_networks": ("10.0.0.1", "10.0.0.0/8", "fd00::/8"),
    "excluded_paths": ("/a", "/b", "/c"),
    "slow_request_routes": ("k=1", "k=2", "k=3"),
    "high_query_count_routes": ("k=1", "k=2", "k=3"),
    "propagators": ("tracecontext", "baggage", "none"),
    "instrumentations": ("django", "celery", "redis"),
    "exponential_histograms": ("true", "false", "true"),
    "broker_commands": ("true", "false", "true"),
    "task_subprocesses": ("true", "false", "true"),
    "log_bridge": ("true", "false", "true"),
    "relay": ("true", "false", "true"),
    "debug_connectors": ("true", "false", "true"),
    "log_level": ("INFO", "ERROR", "DEBUG"),
    "django_log_level": ("INFO", "ERROR", "DEBUG"),
    "observer_in_beat": ("true", "false", "true"),
    "rabbitmq_api": ("http://a:1", "https://b:2", "http://c:3/path"),
    "dashboard_superusers": ("true", "false", "true"),
    "dashboard_access": ("a:one", "b:two", "c.d:three"),
    "dashboard_links": ('{"A": "https://a"}', '{"B": "https://b"}', '{"C": "/c"}'),
    "observer_sources": ("a:one", "b:two", "c.d:three"),
    "alert_tokens": ("first-of-many-tokens", "second-of-many-tokens", "third-of-many-tokens"),
    "alert_client_headers": ("k=a", "k=b", "k=c"),
    "alert_proxies": ("10.0.0.0/8", "::1", "unix"),
    "audit_table": ("true", "false", "true"),
    "audit_models": ("shop.A", "shop.B", "shop.C"),
    "audit_proxies": ("10.0.0.0/8", "::1", "unix"),
}
ANOTHER_WAY: dict[str, Callable[[str], str]] = {
    "OTEL_SDK_DISABLED": lambda text: "false" if text == "true" else "true",
    "OTEL_METRIC_EXPORT_INTERVAL": lambda text: f"{text}000",
    "OTEL_BSP_SCHEDULE_DELAY": lambda text: f"{text}000",
    "OTEL_BLRP_SCHEDULE_DELAY": lambda text: f"{text}000",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": lambda text: (
        "base2_exponential_bucket_histogram" if text == "true" else "explicit_bucket_histogram"
    ),
}
# Only ever true, and left to the exporters: they have tests of their own.
SPECIAL = {"DEBUG_CONNECTORS", "OTEL_EXPORTER_OTLP_HEADERS"}


def samples(row: Field) -> tuple[str, str, str]:
    """Return three values for a field, as text."""
    return SAMPLES.get(row.name, ("1", "2", "3"))


@PATIENT
@given(row=st.sampled_from(FIELDS), data=st.data())
def test_first_source_that_gives_a_value_wins(row: Field, data: st.DataObject) -> None:
    """Options, then OTEL_*, then ours, then the Django setting, then the default."""
    variables = [name for name in row.env if name not in SPECIAL]
    sources = ["option", *variables, "setting"]
    options: dict[str, Any] = {}
    environ: dict[str, str] = {}
    settings: dict[str, Any] = {}
    expected = row.default
    for source in reversed(sources):
        text = data.draw(st.none() | st.sampled_from(samples(row)), label=source)
        if text is None:
            continue
        expected = row.kind.parse(text)
        if source == "option":
            options[row.name] = data.draw(st.sampled_from([text, expected]))
        elif source == "setting":
            settings[row.setting] = data.draw(st.sampled_from([text, expected]))
        else:
            environ[source] = ANOTHER_WAY.get(source, str)(text)
    config = resolve(options, environ, settings)
    assert getattr(config, row.name) == expected
    assert config.warnings == ()


NAMES = [name for row in FIELDS for name in row.env]


@PATIENT
@given(
    options=st.dictionaries(st.sampled_from([row.name for row in FIELDS]) | st.text(), st.text()),
    environ=st.dictionaries(
        st.sampled_from(NAMES) | st.text("AB_").map("ETL_TELEMETRY_".__add__), st.text()
    ),
    settings=st.none()
    | st.lists(st.text())
    | st.dictionaries(st.sampled_from([row.setting for row in FIELDS]), st.text() | st.floats()),
)
def test_whatever_is_given_there_is_a_configuration_or_one_error(
    options: Any, environ: Any, settings: Any
) -> None:
    """No input brings another error than the one that lists what is wrong."""
    with suppress(ConfigurationError):
        assert repr(resolve(options, environ, settings)).startswith("Config(")


@PATIENT
@given(st.dictionaries(st.sampled_from([n for n in NAMES if n.startswith("OTEL_")]), st.text()))
def test_standard_variables_never_stop_a_process(environ: dict[str, str]) -> None:
    """The specification: a wrong value is warned about and ignored."""
    assert len(resolve({}, environ, None).warnings) <= 1


def test_three_wrong_values_are_one_error_that_names_all_three() -> None:
    """One from each of our sources: what, value, where from, what is allowed, the fix."""
    with pytest.raises(ConfigurationError) as raised:
        resolve(
            {"traces_exporter": "oltp"},
            {"ETL_TELEMETRY_SAMPLER_ARG": "1.5"},
            {"MAX_PIPELINES": 0},
        )
    assert str(raised.value) == (
        "etl-telemetry: 3 wrong values:\n"
        "  - traces_exporter must be one of otlp, console, none, got 'oltp' "
        "(from setup_telemetry(traces_exporter=...)); did you mean 'otlp'?\n"
        "  - sampler_arg must be a number between 0 and 1, got '1.5' "
        "(from ETL_TELEMETRY_SAMPLER_ARG); correct it or remove it\n"
        "  - max_pipelines must be a whole number of at least 1, got 0 "
        "(from ETL_TELEMETRY['MAX_PIPELINES'] in Django's settings); correct it or remove it"
    )


def test_unknown_keys_are_answered_with_the_nearest_right_one() -> None:
    """In options, in variables of ours and in the Django setting."""
    with pytest.raises(ConfigurationError) as raised:
        resolve(
            {"servicename": "shop"},
            {"ETL_TELEMETRY_SAMPLE_ARG": "1", "OTEL_UNKNOWN": "1"},
            {"service_name": "shop"},
        )
    assert raised.value.problems == (
        "'servicename' is unknown (from setup_telemetry()); did you mean 'service_name'?",
        (
            "'ETL_TELEMETRY_SAMPLE_ARG' is unknown (from the environment); "
            "did you mean 'ETL_TELEMETRY_SAMPLER_ARG'?"
        ),
        (
            "'service_name' is unknown (from ETL_TELEMETRY in Django's settings); "
            "did you mean 'SERVICE_NAME'?"
        ),
    )


def test_unknown_key_with_nothing_near_is_answered_with_all() -> None:
    """Then the fields are listed."""
    with pytest.raises(ConfigurationError) as raised:
        resolve({"zzz": 1}, {}, None)
    assert raised.value.problems == (
        "'zzz' is unknown (from setup_telemetry()); known are "
        + ", ".join(row.name for row in FIELDS),
    )


def test_setting_that_is_no_dictionary() -> None:
    """`ETL_TELEMETRY = [...]` is told, not crashed on."""
    with pytest.raises(ConfigurationError) as raised:
        resolve({}, {}, ["shop"])  # type: ignore[arg-type]
    assert raised.value.problems == (
        (
            "ETL_TELEMETRY must be a dictionary, got a value of type list (from Django's "
            "settings); "
            "its keys are names of fields in upper case"
        ),
    )


def test_wrong_value_is_told_even_where_another_source_wins() -> None:
    """It would strike as soon as the other one is removed."""
    with pytest.raises(ConfigurationError) as raised:
        resolve({"deadline": 1}, {"ETL_TELEMETRY_DEADLINE": "soon"}, None)
    assert raised.value.problems == (
        (
            "deadline must be a number of seconds above 0, got 'soon' (from "
            "ETL_TELEMETRY_DEADLINE); "
            "correct it or remove it"
        ),
    )


def test_none_and_empty_variables_give_nothing() -> None:
    """The specification: an empty variable is an unset one; None stands for "not given"."""
    environ = {"OTEL_SERVICE_NAME": " ", "ETL_TELEMETRY_DEADLINE": "", "ENABLE_TRACING": ""}
    assert resolve({"sampler_arg": None}, environ, {"ENDPOINT": None}) == Config()


@pytest.mark.parametrize(
    ("environ", "settings", "name"),
    [
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute"}, None, "attribute"),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute", "OTEL_SERVICE_NAME": "own"},
            None,
            "own",
        ),
        (
            {
                "OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute",
                "ETL_TELEMETRY_SERVICE_NAME": "ours",
            },
            None,
            "attribute",
        ),
        ({}, {"RESOURCE_ATTRIBUTES": {"service.name": "attribute"}}, "attribute"),
        (
            {"ETL_TELEMETRY_SERVICE_NAME": "ours"},
            {"RESOURCE_ATTRIBUTES": {"service.name": "attribute"}},
            "ours",
        ),
    ],
)
def test_resource_attributes_give_fields_at_their_own_rank(
    environ: dict[str, str], settings: dict[str, object] | None, name: str
) -> None:
    """`service.name` among the attributes is `service_name`; the variable of its own wins."""
    config = resolve({}, environ, settings)
    assert config.service_name == name
    assert dict(config.resource_attributes) == {}


def test_resource_attributes_of_all_sources_are_merged() -> None:
    """The higher source wins for each attribute."""
    config = resolve(
        {"resource_attributes": {"a": "option"}},
        {
            "OTEL_RESOURCE_ATTRIBUTES": "a=standard,b=standard,deployment.environment=blue",
            "ETL_TELEMETRY_RESOURCE_ATTRIBUTES": "b=own,c=own",
        },
        {"RESOURCE_ATTRIBUTES": {"c": "setting", "d": 4}},
    )
    assert dict(config.resource_attributes) == {
        "a": "option", "b": "standard", "c": "own", "d": 4, "deployment.environment": "blue",
    }  # fmt: skip
    assert config.environment == "blue"


def test_signal_takes_the_general_protocol_unless_it_has_its_own() -> None:
    """As the specification says."""
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
    }
    config = resolve({}, environ, None)
    assert (config.traces_protocol, config.metrics_protocol, config.logs_protocol) == (
        "grpc", "grpc", "http/protobuf",
    )  # fmt: skip


def test_target_without_scheme_is_for_grpc_only() -> None:
    """HTTP cannot take it: ours stops the process, the standard variable is ignored."""
    grpc = {"protocol": "grpc", "endpoint": "collector:4317"}
    assert resolve(grpc, {}, None).endpoint == "collector:4317"
    with pytest.raises(ConfigurationError) as raised:
        resolve({"endpoint": "collector:4317", "logs_endpoint": "dns:///logs"}, {}, None)
    assert raised.value.problems == (
        (
            "endpoint must be a URL such as http://localhost:4318, got 'collector:4317' "
            "(from setup_telemetry(endpoint=...)); write 'http://collector:4317', "
            "or set protocol to grpc"
        ),
        (
            "logs_endpoint must be a URL such as http://localhost:4318, got 'dns:///logs' "
            "(from setup_telemetry(logs_endpoint=...)); add the scheme, or set "
            "logs_protocol to grpc"
        ),
    )
    config = resolve({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, None)
    assert config.endpoint is None
    assert config.warnings == (
        (
            "1 wrong value is ignored, as if not set:\n"
            "  - OTEL_EXPORTER_OTLP_ENDPOINT must be a URL such as http://localhost:4318, "
            "got 'collector:4317' (from the environment); write 'http://collector:4317', "
            "or set protocol to grpc"
        ),
    )


def test_batch_is_not_larger_than_its_queue() -> None:
    """The default shrinks, a batch that was asked for is told."""
    assert resolve({"span_queue_size": 100}, {}, None).span_batch_size == 100
    with pytest.raises(ConfigurationError) as raised:
        resolve({"log_queue_size": 10, "log_batch_size": 20}, {}, None)
    assert raised.value.problems == (
        (
            "log_batch_size must be at most log_queue_size, which is 10, got 20 "
            "(from setup_telemetry(log_batch_size=...)); correct it or remove it"
        ),
    )
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20"}
    assert resolve({}, environ, None).span_batch_size == 10


def test_version_comes_from_the_first_file(tmp_path: Path) -> None:
    """The working directory, then the project's; anything that gives it otherwise wins."""
    first, second, third = (tmp_path / name for name in "abc")
    for directory, content in ((second, b" \xef\xbb\xbf 1.2.3\n"), (third, b"9\n")):
        directory.mkdir()
        (directory / "VERSION").write_bytes(content.lstrip())
    directories = (first, second, third)
    assert resolve({}, {}, None, directories=directories).service_version == "1.2.3"
    given = resolve({"service_version": "7"}, {}, None, directories=directories)
    assert given.service_version == "7"
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.version=8"}
    assert resolve({}, environ, None, directories=directories).service_version == "8"
    assert resolve({}, {}, None, directories=(first,)).service_version == "unknown"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00"])
def test_version_file_that_says_nothing(tmp_path: Path, content: bytes) -> None:
    """An empty file or one that is no text counts as none."""
    (tmp_path / "VERSION").write_bytes(content)
    assert resolve({}, {}, None, directories=(tmp_path,)).service_version == "unknown"


def test_resolve_reads_nothing_but_what_it_is_handed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process' own environment does not matter."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "elsewhere")
    monkeypatch.setenv("ETL_TELEMETRY_NONSENSE", "elsewhere")
    assert resolve({}, {}, None) == Config()
