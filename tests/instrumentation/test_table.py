"""The table of instrumentations: which are installed, which are not, and who was first."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor

from etl_telemetry.config import Config
from etl_telemetry.errors import MissingExtraError
from etl_telemetry.instrumentation import table
from etl_telemetry.instrumentation.table import INSTRUMENTATIONS, Instrumentation

TESTS = str(Path(__file__).parent.parent)
SEMCONV = "OTEL_SEMCONV_STABILITY_OPT_IN"
UNKNOWN = Instrumentation(
    name="carrier_pigeon",
    library="carrier_pigeon",
    instrumentor="opentelemetry.instrumentation.carrier_pigeon:CarrierPigeonInstrumentor",
    extra="pigeon",
    adapter="etl_telemetry.instrumentation.psycopg2:instrument",
)


(ENTRY_OF_REDIS,) = (entry for entry in INSTRUMENTATIONS if entry.name == "redis")


def config(*names: str) -> Config:
    """Ask for some instrumentations by name."""
    return Config(instrumentations=names)


def patched() -> list[int]:
    """Identify what redis and requests call now; wrappers may compare equal, so by id."""
    return [id(vars(redis.Redis)["execute_command"]), id(vars(requests.Session)["send"])]


def test_the_table_names_what_the_extras_bring() -> None:
    """The libraries of the product, each with OpenTelemetry's own instrumentor."""
    assert [(e.name, e.extra, e.distribution) for e in INSTRUMENTATIONS] == [
        ("django", "django", "opentelemetry-instrumentation-django"),
        ("celery", "celery", "opentelemetry-instrumentation-celery"),
        ("psycopg2", "postgresql", "opentelemetry-instrumentation-psycopg2"),
        ("psycopg", "psycopg", "opentelemetry-instrumentation-psycopg"),
        ("redis", "redis", "opentelemetry-instrumentation-redis"),
        ("requests", "requests", "opentelemetry-instrumentation-requests"),
    ]


def test_by_default_everything_that_is_installed_is_instrumented(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A library that is not there is left out without a word; Django waits for its settings."""
    monkeypatch.setattr(table, "INSTRUMENTATIONS", (*INSTRUMENTATIONS, UNKNOWN))
    for entry in INSTRUMENTATIONS:
        import_module(entry.library)
    assert table.instrument(Config()) == ["celery", "psycopg2", "psycopg", "redis", "requests"]


def test_only_the_named_ones_are_instrumented_and_asking_again_changes_nothing() -> None:
    """A second call is harmless: one wrapper around each library."""
    assert table.instrument(config("redis")) == ["redis"]
    once = patched()
    assert table.instrument(config("redis")) == ["redis"]
    assert patched() == once
    assert table.instrument(config("requests")) == ["redis", "requests"]


def test_uninstrument_takes_everything_away_again() -> None:
    """The libraries are as they were."""
    before = patched()
    table.instrument(config("redis", "requests"))
    assert [now == then for now, then in zip(patched(), before, strict=True)] == [False, False]
    table.uninstrument()
    assert patched() == before
    assert table.instrument(config()) == []


def test_a_named_one_whose_package_is_missing_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three lines, the last one to copy and paste."""
    monkeypatch.setattr(table, "INSTRUMENTATIONS", (UNKNOWN,))
    with pytest.raises(MissingExtraError) as error:
        table.instrument(config("carrier_pigeon"))
    assert str(error.value) == (
        "etl-telemetry: instrumenting carrier_pigeon needs the package 'carrier_pigeon', "
        "which is not installed.\n"
        "Install it with:\n"
        "    pip install 'etl-telemetry[pigeon]'"
    )


def test_a_library_without_its_instrumentor_names_the_instrumentor() -> None:
    """`pip install requests` alone is not enough, and the error tells what is missing."""
    entry = Instrumentation(
        name="json",
        library="json",
        instrumentor="opentelemetry.instrumentation.json:JsonInstrumentor",
        extra="json",
        adapter="unused:unused",
    )
    assert entry.missing == "opentelemetry-instrumentation-json"


FORGOTTEN = """
import logging, sys
from django.conf import settings

class Hidden:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="WARNING")
import django
from celery import signals
from etl_telemetry import setup_telemetry
setup_telemetry(traces_exporter="none", metrics_exporter="none", logs_exporter="none")
settings.configure(INSTALLED_APPS=["etl_telemetry.django"])
django.setup()
for _ in range(2):
    signals.worker_init.send(None)
"""


@pytest.mark.parametrize("name", ["django", "celery"])
def test_a_framework_in_use_without_its_extra_is_one_warning(name: str) -> None:
    """Nothing of it would arrive, and nobody would know why; the last line is to copy and paste."""
    package = f"opentelemetry.instrumentation.{name}"
    script = f"import sys; sys.argv = ['', {package!r}]\n{FORGOTTEN}"
    assert in_a_new_process(script, PYTHONPATH=TESTS) == (
        f"instrumentation_extra_missing: etl-telemetry: instrumenting {name} needs the package "
        f"'opentelemetry-instrumentation-{name}', which is not installed.\n"
        "Install it with:\n"
        f"    pip install 'etl-telemetry[{name}]'"
    )


@pytest.mark.parametrize(
    ("library", "mark"), [(redis, "_datadog_patch"), (requests, "__datadog_patch")]
)
def test_what_ddtrace_has_patched_stays_ddtraces(
    library: Any, mark: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two instrumentations of one library would mean every span twice."""
    monkeypatch.setattr(library, mark, True, raising=False)
    with caplog.at_level(logging.INFO, "etl_telemetry"):
        installed = table.instrument(config("redis", "requests"))
    assert installed == [name for name in ("redis", "requests") if name != library.__name__]
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["owners"]) == (
        "instrumentation_already_active",
        {library.__name__: "ddtrace"},
    )


def test_what_opentelemetry_has_instrumented_before_us_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Under `opentelemetry-instrument` there is no second wrapper, and one log line tells all."""
    RedisInstrumentor().instrument()
    RequestsInstrumentor().instrument()
    before = patched()
    try:
        with caplog.at_level(logging.INFO, "etl_telemetry"):
            assert table.instrument(config("redis", "requests")) == []
        assert patched() == before
        table.uninstrument()
        assert RedisInstrumentor().is_instrumented_by_opentelemetry
    finally:
        RedisInstrumentor().uninstrument()
        RequestsInstrumentor().uninstrument()
    told = [record for record in caplog.records if "active" in record.getMessage()]
    assert [vars(record)["owners"] for record in told] == [
        {"redis": "opentelemetry", "requests": "opentelemetry"}
    ]


def test_an_instrumentor_that_fails_costs_its_own_spans_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The host starts, and the other libraries are instrumented."""
    monkeypatch.setattr(RedisInstrumentor, "instrument", lambda *_, **__: 1 / 0)
    assert table.instrument(config("redis", "requests")) == ["requests"]


def test_an_instrumentor_without_its_class_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A release that renames it costs the spans of one library, and not without a word."""
    renamed = replace(ENTRY_OF_REDIS, instrumentor="opentelemetry.instrumentation.redis:Renamed")
    monkeypatch.setattr(table, "INSTRUMENTATIONS", (renamed,))
    assert table.instrument(config("redis")) == []
    (record,) = caplog.records
    assert record.getMessage() == "telemetry_internal_error"
    assert "has no attribute 'Renamed'" in caplog.text


def in_a_new_process(script: str, **variables: str) -> str:
    """Run Python code where nothing is instrumented or read yet; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={k: v for k, v in os.environ.items() if k != SEMCONV} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


METRICS_OF_A_CALL = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="WARNING")
from support.telemetry import telemetry
seen = telemetry()
{before}
from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
table.instrument(Config(instrumentations=("requests",)))
import requests
session = requests.Session()
session.trust_env = False
try:
    session.get("http://127.0.0.1:1/")
except requests.ConnectionError:
    print(*seen.values())
"""


def test_the_stable_names_are_chosen_before_the_first_instrumentor() -> None:
    """Without the variable upstream writes the old names, and no database metrics at all."""
    printed = in_a_new_process(METRICS_OF_A_CALL.format(before=""), PYTHONPATH=TESTS)
    assert printed == "http.client.request.duration"


def test_a_users_own_choice_of_names_is_kept() -> None:
    """The variable is set only where it is absent."""
    printed = in_a_new_process(
        METRICS_OF_A_CALL.format(before=""), PYTHONPATH=TESTS, **{SEMCONV: "http/dup"}
    )
    assert printed == "http.client.duration http.client.request.duration"


def test_names_that_were_chosen_too_early_are_told() -> None:
    """An instrumentor that ran before us has fixed the old names for the process."""
    before = (
        "from opentelemetry.instrumentation.redis import RedisInstrumentor\n"
        "RedisInstrumentor().instrument()"
    )
    printed = in_a_new_process(METRICS_OF_A_CALL.format(before=before), PYTHONPATH=TESTS)
    assert printed == "semantic_conventions_read_too_early\nhttp.client.duration"
