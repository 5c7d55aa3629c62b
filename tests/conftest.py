"""Give every test the helpers of `tests/support` and an environment without telemetry settings."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

# Appended, not inserted: tests/django and tests/celery must never win over the real packages.
sys.path.append(str(Path(__file__).parent))

# Hypothesis' deadline of 200 ms an example is an assertion about speed.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# A shell starts its background jobs with SIGINT ignored, which their children inherit: servers that
# a test stops by Ctrl-C would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_OURS = ("OTEL_", "ETL_TELEMETRY_")
_NAMED = ("ENABLE_TRACING", "ENVIRONMENT", "BUILD_DATE", "DEBUG_CONNECTORS", "DJANGO_LOG_LEVEL")


@pytest.fixture(autouse=True, scope="session")
def _clean_environment() -> None:
    """Drop the developer's own settings: the tests, and what they start, see the defaults."""
    for name in [n for n in os.environ if n.startswith(_OURS) or n in _NAMED]:
        del os.environ[name]
