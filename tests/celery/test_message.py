"""The message header: versioned, checked, and of one message only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, TraceFlags

from etl_telemetry.catalogue import CanvasKind, LinkReason
from etl_telemetry.celery.message import VERSION, Chord, Message
from support.patience import PATIENT

CONTEXT = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
FULL = Message(
    published_ns=1_760_000_000_000_000_000,
    previous=CONTEXT,
    reason="OSError: no answer",
    wait=0.5,
    link=LinkReason.BEAT.value,
    kind=CanvasKind.CHORD_BODY.value,
    chord=Chord("g1", 3),
)


def test_a_header_is_read_as_it_was_written() -> None:
    """Every field comes through."""
    assert Message.from_header(FULL.to_header("t", 2), "t", 2) == FULL


@pytest.mark.parametrize(("task_id", "retries"), [("other", 2), ("t", 0)])
def test_a_header_of_another_message_is_not_there(task_id: str, retries: int) -> None:
    """A worker without telemetry copies the header to the retry: that one has another number."""
    assert Message.from_header(FULL.to_header("t", 2), task_id, retries) == Message()


def test_a_header_of_another_version_is_not_there() -> None:
    """A rolling upgrade: what a newer release writes costs the wait, not the task."""
    newer = json.loads(FULL.to_header("t", 2)) | {"v": VERSION + 1}
    assert Message.from_header(json.dumps(newer), "t", 2) == Message()


def test_a_field_that_a_newer_release_adds_is_ignored() -> None:
    """Within a version fields may be added."""
    newer = json.loads(FULL.to_header("t", 2)) | {"colour": "red"}
    assert Message.from_header(json.dumps(newer), "t", 2) == FULL


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("published_ns", -1, {"published_ns": None}),
        ("published_ns", "now", {"published_ns": None}),
        ("previous", "0" * 32 + "-" + "0" * 16 + "-01", {"previous": None}),
        ("reason", 7, {"reason": None}),
        ("wait", -0.5, {"wait": None}),
        ("link", "because", {"link": None}),
        ("kind", ["chain"], {"kind": None}),
        ("chord", ["g1"], {"chord": None}),
        ("chord", ["g1", -1], {"chord": None}),
        ("chord", ["g1", True], {"chord": Chord("g1", 1)}),
    ],
)
def test_a_wrong_field_costs_itself(field: str, value: object, expected: dict[str, object]) -> None:
    """The others are read."""
    written = json.loads(FULL.to_header("t", 2)) | {field: value}
    found = Message.from_header(json.dumps(written), "t", 2)
    wanted = {name: getattr(FULL, name) for name in FULL.__dataclass_fields__} | expected
    assert found == Message(**wanted)


@PATIENT
@given(st.one_of(st.text(), st.binary(), st.integers(), st.none()))
def test_garbage_is_no_header(text: object) -> None:
    """Whatever a broker delivers."""
    assert Message.from_header(text, "t", 0) == Message()
