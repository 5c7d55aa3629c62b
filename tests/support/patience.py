"""Hypothesis settings for machines that are busy with other tests: time proves nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MORE = settings(PATIENT, max_examples=200)
