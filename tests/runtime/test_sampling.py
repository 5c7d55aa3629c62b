"""Sampling: strangers decide nothing, our own processes do."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from etl_telemetry.config import resolve
from etl_telemetry.runtime.build import _sampler
from etl_telemetry.runtime.sampling import DecidedSampler, IngressSampler, decided


def _decision(sampler: Sampler, kind: SpanKind, *, sampled: bool, remote: bool) -> bool:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = NonRecordingSpan(SpanContext(1, 1, is_remote=remote, trace_flags=flags))
    result = sampler.should_sample(trace.set_span_in_context(parent), 1, "span", kind)
    return result.decision is Decision.RECORD_AND_SAMPLE


@pytest.mark.parametrize("sampled", [True, False])
def test_a_caller_over_http_neither_forces_nor_prevents_a_trace(*, sampled: bool) -> None:
    """A server span is sampled as a root, whatever its `traceparent` says (trap 24)."""
    for root, expected in ((ALWAYS_OFF, False), (ALWAYS_ON, True)):
        sampler = IngressSampler(ParentBased(root), root)
        assert _decision(sampler, SpanKind.SERVER, sampled=sampled, remote=True) is expected


def test_the_stock_sampler_lets_a_caller_force_a_trace() -> None:
    """The trap itself."""
    assert _decision(ParentBased(ALWAYS_OFF), SpanKind.SERVER, sampled=True, remote=True)


@pytest.mark.parametrize("kind", [SpanKind.CONSUMER, SpanKind.INTERNAL, SpanKind.CLIENT])
@pytest.mark.parametrize("sampled", [True, False])
def test_messages_and_children_follow_their_parent(kind: SpanKind, *, sampled: bool) -> None:
    """A task continues what its publisher decided: a run is whole or not at all."""
    sampler = IngressSampler(ParentBased(ALWAYS_OFF), ALWAYS_OFF)
    assert _decision(sampler, kind, sampled=sampled, remote=True) is sampled


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([("etl", "run"), ("vendor", "x")], {"vendor": "x"}),
        ([("vendor", "x")], {"vendor": "x"}),
        ([], {}),
    ],
)
def test_a_caller_over_http_cannot_mark_a_trace_as_a_run(
    sent: list[tuple[str, str]], kept: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Gateways keep every trace with the mark, so it is taken off at the door, and only it."""
    context = SpanContext(1, 1, is_remote=True, trace_state=TraceState(sent))
    parent = trace.set_span_in_context(NonRecordingSpan(context))
    sampler = IngressSampler(ParentBased(ALWAYS_ON), ALWAYS_ON)
    result = sampler.should_sample(parent, 1, "span", SpanKind.SERVER)
    inner = sampler.should_sample(parent, 1, "span", SpanKind.CONSUMER)
    assert (dict(result.trace_state or {}), dict(inner.trace_state or {})) == (kept, dict(sent))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("options", "description"),
    [
        ({}, "DecidedSampler(IngressSampler(ParentBased{root:AlwaysOnSampler,"),
        ({"trust_remote_sampling": True}, "DecidedSampler(ParentBased{root:AlwaysOnSampler,"),
        ({"sampler": "always_off"}, "AlwaysOffSampler"),
        ({"sampler": "traceidratio", "sampler_arg": 0.25}, "TraceIdRatioBased{0.25}"),
        ({"sampler": "traceidratio"}, "TraceIdRatioBased{1.0}"),
        (
            {"sampler": "parentbased_traceidratio", "sampler_arg": 0},
            "DecidedSampler(IngressSampler(ParentBased{root:TraceIdRatioBased{0.0},",
        ),
    ],
)
def test_the_configuration_names_the_sampler(options: dict[str, object], description: str) -> None:
    """The names are those of `OTEL_TRACES_SAMPLER`."""
    assert _sampler(resolve(options, {}, None)).get_description().startswith(description)


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("root", [ALWAYS_ON, ALWAYS_OFF])
def test_a_linked_trace_is_sampled_as_what_it_is_linked_to(root: Sampler, *, sampled: bool) -> None:
    """Whatever the sampler says of roots; what has a parent follows its parent."""
    sampler = DecidedSampler(ParentBased(root))
    told = decided(Context(), sampled=sampled)
    result = sampler.should_sample(told, 1, "run/x", SpanKind.CONSUMER, {"a": 1})
    expected = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
    assert (result.decision, dict(result.attributes)) == (expected, {"a": 1} if sampled else {})
    undecided = sampler.should_sample(Context(), 1, "x")
    assert undecided.decision is (
        Decision.RECORD_AND_SAMPLE if root is ALWAYS_ON else Decision.DROP
    )
    flags = TraceFlags(TraceFlags.DEFAULT if sampled else TraceFlags.SAMPLED)
    parent = NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=flags))
    child = sampler.should_sample(trace.set_span_in_context(parent, told), 1, "x")
    assert (child.decision is Decision.RECORD_AND_SAMPLE) is not sampled
