"""psycopg2: recognised as psycopg2-binary, and nothing of its noisy options on."""

from __future__ import annotations

import psycopg2
import pytest
from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor

from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
from support.broker import free_port


def test_the_binary_package_is_recognised_without_skipping_the_check() -> None:
    """`psycopg2-binary` alone is enough; `skip_dep_check` would hide a real conflict."""
    assert table.instrument(Config(instrumentations=("psycopg2",))) == ["psycopg2"]
    assert Psycopg2Instrumentor().is_instrumented_by_opentelemetry


def test_the_options_that_leak_or_repeat_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """No commenter (Django may have one), no parameters, no skipped check."""
    given: list[dict[str, object]] = []
    instrument = Psycopg2Instrumentor.instrument
    monkeypatch.setattr(
        Psycopg2Instrumentor,
        "instrument",
        lambda self, **options: (given.append(options), instrument(self, **options)),
    )
    table.instrument(Config(instrumentations=("psycopg2",)))
    assert given == [{}]


def test_a_refused_connection_is_the_applications_own_error() -> None:
    """The driver's error comes through as it is."""
    table.instrument(Config(instrumentations=("psycopg2",)))
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(host="127.0.0.1", port=free_port(), dbname="x", user="x")
