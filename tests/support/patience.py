"""Hypothesis settings for machines that are busy with other tests: time proves nothing."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MORE = settings(PATIENT, max_examples=200)
ON_A_DATABASE = settings(
    deadline=None,
    max_examples=int(os.environ.get("HOST_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""In a suite that runs on several databases: all examples on one, fewer on each of the others."""
