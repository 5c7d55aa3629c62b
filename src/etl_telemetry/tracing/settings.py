"""What `setup_telemetry()` decides for this room, and the tracer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from opentelemetry import trace
from opentelemetry.trace import Span, Tracer

from etl_telemetry.catalogue import SCOPE
from etl_telemetry.redaction import NOTHING_ALLOWED, Policy
from etl_telemetry.values import AttributeValue

Recorder = Callable[[Span, Mapping[str, AttributeValue]], None]
"""Takes the attributes of an exception (`exception.type`, `.message`, `.stacktrace`)."""

EXCEPTION_EVENT = "exception"
"""Name of the event (semantic conventions)."""


def as_span_event(span: Span, exception: Mapping[str, AttributeValue]) -> None:
    """Record an exception as an event of its span."""
    span.add_event(EXCEPTION_EVENT, exception)


@dataclass(frozen=True, slots=True)
class Settings:
    """What this room was told at set-up."""

    policy: Policy = NOTHING_ALLOWED
    """What may leave the process as it is."""
    recorder: Recorder = as_span_event
    """Where exceptions go. OTEP 4430 moves them from span events to log records: the switch."""


_settings = Settings()


def settings() -> Settings:
    """Return what is in force."""
    return _settings


def configure(*, policy: Policy | None = None, recorder: Recorder | None = None) -> None:
    """Set what `setup_telemetry()` decided; None leaves it as it is.

    >>> configure(policy=Policy(allow=("exception.message",)))
    >>> configure(policy=NOTHING_ALLOWED)
    """
    global _settings
    _settings = replace(
        _settings,
        policy=_settings.policy if policy is None else policy,
        recorder=_settings.recorder if recorder is None else recorder,
    )


@cache
def tracer() -> Tracer:
    """Return the tracer of all our spans.

    Asked for at the first span, since the API reads the environment. Before
    `setup_telemetry()` it is a proxy, which finds the provider when there is one.
    """
    return trace.get_tracer(SCOPE)
