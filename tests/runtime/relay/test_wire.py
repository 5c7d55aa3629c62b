"""Messages over datagrams: whole, once, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.runtime.relay import wire
from etl_telemetry.runtime.relay.wire import Inbox, Kind, Part
from support.patience import PATIENT

SECTIONS = st.lists(
    st.tuples(st.sampled_from(Kind), st.binary(max_size=200) | st.just(b"x" * 70_000)), max_size=4
)


def parts(sections: list[tuple[Kind, bytes]], sequence: int) -> list[Part]:
    """Cut a message, and read its datagrams."""
    found = [wire.read(d) for d in wire.datagrams(sections, pid=7, sequence=sequence)]
    assert None not in found
    return [part for part in found if part is not None]


@PATIENT
@given(SECTIONS)
def test_a_message_comes_out_as_it_went_in(sections: list[tuple[Kind, bytes]]) -> None:
    """Whatever its length; the last of its datagrams completes it."""
    inbox = Inbox()
    answers = [inbox.add(part) for part in parts(sections, 1)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] is not None
    assert list(wire.sections(answers[-1])) == sections


@PATIENT
@given(SECTIONS, st.data())
def test_datagrams_that_come_twice_change_nothing(
    sections: list[tuple[Kind, bytes]], data: st.DataObject
) -> None:
    """A sender that was interrupted before it could note a datagram sends it again."""
    inbox = Inbox()
    got: list[bytes | None] = []
    for sequence in (1, 2):
        for part in parts(sections, sequence):
            got += [inbox.add(part) for _ in range(data.draw(st.integers(1, 3)))]
    assert [list(wire.sections(m)) for m in got if m is not None] == [sections, sections]


def test_a_message_whose_sender_was_killed_within_it_is_none() -> None:
    """What a later process with the same id sends is not mixed with it."""
    inbox = Inbox()
    assert inbox.add(parts([(Kind.SPANS, b"s" * 100_000)], 1)[0]) is None
    (whole,) = parts([(Kind.MARK, b"m")], 2)
    message = inbox.add(whole)
    assert message is not None
    assert list(wire.sections(message)) == [(Kind.MARK, b"m")]


@PATIENT
@given(st.binary(max_size=60))
def test_what_is_no_datagram_of_ours_is_refused(garbage: bytes) -> None:
    """Too short, another magic, another version, parts that cannot be."""
    assert wire.read(garbage) is None or garbage.startswith(b"ET\x01")
    (datagram,) = wire.datagrams([(Kind.MARK, b"m")], pid=1, sequence=1)
    assert wire.read(datagram[:2] + b"\x02" + datagram[3:]) is None


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_a_message_that_is_cut_off_is_an_error(cut: int) -> None:
    """It cannot be read half."""
    (part,) = parts([(Kind.MARK, b"mm")], 1)
    with pytest.raises(ValueError, match=r"a message of the relay ends within"):
        list(wire.sections(part.payload[:cut]))


def test_a_section_of_a_kind_that_is_not_known_is_left_out() -> None:
    """A child of another release may know more."""
    (part,) = parts([(Kind.MARK, b"one"), (Kind.MARK, b"two")], 1)
    changed = bytes([99]) + part.payload[1:]
    assert list(wire.sections(changed)) == [(Kind.MARK, b"two")]


def test_a_message_that_is_too_long_is_not_begun() -> None:
    """It has more datagrams than its reader takes."""
    assert (
        wire.datagrams(
            [(Kind.SPANS, b"x" * (wire.MAX_PAYLOAD * wire.MAX_PARTS + 1))], pid=1, sequence=1
        )
        == []
    )
