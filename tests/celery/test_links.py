"""Child or link: the policy, as its table says."""

from __future__ import annotations

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from etl_telemetry.catalogue import LinkReason
from etl_telemetry.celery.links import Policy
from etl_telemetry.config import Config

HERE = SpanContext(1, 2, is_remote=False)


def test_an_ordinary_publish_is_a_child() -> None:
    """Nothing speaks for a link."""
    assert Policy(Config()).reason({}, wait_ns=0, span=HERE, keep=False) is None


def test_beat_is_linked() -> None:
    """Its ticks are no request that waits for an answer."""
    policy = Policy(Config())
    told = policy.reason({"celery_beat_task": True}, wait_ns=0, span=HERE, keep=False)
    assert told is LinkReason.BEAT


def test_an_eta_past_the_threshold_is_linked() -> None:
    """A trace is not to last for days."""
    policy = Policy(Config(task_link_eta=60))
    waits = (60 * 10**9, 60 * 10**9 + 1)
    told = [policy.reason({}, wait_ns=ns, span=HERE, keep=False) for ns in waits]
    assert told == [None, LinkReason.ETA]


def test_a_fan_out_past_the_threshold_is_linked() -> None:
    """The first ones are children; each span counts for itself, and no span counts nothing."""
    policy = Policy(Config(task_link_fan_out=2))

    def publish(span: SpanContext, *, keep: bool = False) -> LinkReason | None:
        return policy.reason({}, wait_ns=0, span=span, keep=keep)

    assert [publish(HERE) for _ in range(4)] == [None, None, *[LinkReason.FAN_OUT] * 2]
    assert publish(SpanContext(1, 3, is_remote=False)) is None
    assert [publish(INVALID_SPAN_CONTEXT) for _ in range(4)] == [None] * 4
    assert publish(HERE, keep=True) is None


def test_what_is_remembered_is_bounded() -> None:
    """A process that lives for months publishes under many spans."""
    policy = Policy(Config(task_link_fan_out=1))
    for span_id in range(1, 5_000):
        span = SpanContext(1, span_id, is_remote=False)
        assert policy.reason({}, wait_ns=0, span=span, keep=False) is None
    assert len(policy._published) <= 1_024
