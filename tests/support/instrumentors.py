"""A process in which no instrumentor has chosen its semantic conventions yet."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation._semconv import (
    _OpenTelemetrySemanticConventionStability as Stability,
)

SEMCONV = "OTEL_SEMCONV_STABILITY_OPT_IN"


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the next instrumentor read the variable again, which upstream does once per process.

    Whichever test file came first in this process has made that choice otherwise.
    """
    monkeypatch.setattr(Stability, "_initialized", False)
    before = os.environ.pop(SEMCONV, None)
    yield
    os.environ.pop(SEMCONV, None)
    if before is not None:
        os.environ[SEMCONV] = before
