"""Span ids that two processes can name."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider

from etl_telemetry.runtime.ids import NamedIds, named, next_span_id


def test_a_span_that_starts_in_the_block_has_the_id_and_no_other() -> None:
    """Before, after and for None the ids are random."""
    tracer = TracerProvider(id_generator=NamedIds(), shutdown_on_exit=False).get_tracer("test")

    def started() -> int:
        return tracer.start_span("x").get_span_context().span_id

    with next_span_id(7):
        assert started() == 7
    with next_span_id(None):
        assert started() != 7
    with pytest.raises(ValueError, match="boom"), next_span_id(7):
        raise ValueError("boom")
    assert started() != 7


def test_names_make_ids_that_are_valid_and_their_own() -> None:
    """Text that cannot be encoded included."""
    ids = {named("chord", group, index) for group in ("a", "b", "\ud800") for index in range(10)}
    assert len(ids) == 30
    assert all(0 < one < 2**64 for one in ids)
