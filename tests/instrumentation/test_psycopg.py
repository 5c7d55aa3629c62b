"""psycopg 3 and psycopg2: what is added is taken away again (the rest needs a server)."""

from __future__ import annotations

from typing import Any

import psycopg
import psycopg2
import pytest
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
from support.broker import free_port


def methods() -> list[Any]:
    """Return what is wrapped."""
    return [
        psycopg.Cursor.copy,
        psycopg.AsyncCursor.copy,
        psycopg.ServerCursor.execute,
        psycopg.AsyncServerCursor.execute,
        psycopg2.connect,
    ]


def test_undo_leaves_the_drivers_as_they_were() -> None:
    """Methods and marks."""
    before = methods()
    names = ("psycopg2", "psycopg")
    assert table.instrument(Config(instrumentations=names)) == list(names)
    assert PsycopgInstrumentor().is_instrumented_by_opentelemetry
    assert [now is then for now, then in zip(methods(), before, strict=True)] == [False] * 5
    table.uninstrument()
    assert [now is then for now, then in zip(methods(), before, strict=True)] == [True] * 5
    assert not [name for name in vars(psycopg.ServerCursor) if "etl_telemetry" in name]


def test_a_refused_connection_is_the_applications_own_error() -> None:
    """The driver's error comes through as it is."""
    table.instrument(Config(instrumentations=("psycopg",)))
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(host="127.0.0.1", port=free_port(), dbname="x", user="x")
