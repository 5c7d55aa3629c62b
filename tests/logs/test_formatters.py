"""The JSON line and the text line of a record."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Hashable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

from etl_telemetry.catalogue import LOG_FIELDS
from etl_telemetry.logs import JsonFormatter, TextFormatter, log_context
from etl_telemetry.logs.records import MAX_MESSAGE

SPAN = trace.SpanContext(trace_id=0xA, span_id=0xB, is_remote=False)


def record(message: object = "rows loaded", *args: object, **extra: object) -> logging.LogRecord:
    """Make a record with known numbers."""
    logger = logging.Logger("apps.load")  # noqa: LOG001 - its own, not registered
    made = logger.makeRecord(
        "apps.load", logging.INFO, "/app/load.py", 7, message, args, None, "load", extra
    )
    made.created, made.msecs, made.process, made.thread = 1357016400.25, 250.0, 11, 22
    return made


def as_json(one: logging.LogRecord, **options: Any) -> dict[str, Any]:
    """Format strictly: no NaN, one line."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = JsonFormatter(**options).format(one)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return parsed


def test_a_json_record_has_the_known_fields_in_their_order() -> None:
    """The whole record, as the users' queries know it, with the trace and the context fields."""
    with trace.use_span(trace.NonRecordingSpan(SPAN)), log_context(tenant="AA"):
        seen = as_json(record(rows=3), environment="production", service="etl", version="1.4")
    assert seen == {
        "timestamp": "2013-01-01T05:00:00.250000Z",
        "level": "INFO",
        "logger": "apps.load",
        "message": "rows loaded",
        "module": "load",
        "function": "load",
        "line": 7,
        "process_id": 11,
        "thread_id": 22,
        "environment": "production",
        "service": "etl",
        "version": "1.4",
        "trace_id": f"{0xA:032x}",
        "span_id": f"{0xB:016x}",
        "tenant": "AA",
        "rows": 3,
    }
    assert set(seen) - {"tenant", "rows"} | {"exception"} == set(LOG_FIELDS)


def test_a_json_record_has_its_exception() -> None:
    """Type, message and traceback, line by line."""
    one = record()
    one.exc_info = (ValueError, ValueError("no rows"), None)
    assert as_json(one)["exception"] == {
        "type": "ValueError",
        "message": "no rows",
        "traceback": ["ValueError: no rows"],
    }


def test_an_extra_with_a_fixed_name_moves_aside() -> None:
    """It never replaces a field that dashboards rely on."""
    seen = as_json(record(level="mine", service=1))
    assert (seen["level"], seen["extra_level"]) == ("INFO", "mine")
    assert (seen["service"], seen["extra_service"]) == ("", 1)


def test_json_hides_secrets_and_opens_what_is_allowed() -> None:
    """Files are shipped too: they hold no more than what leaves over OTLP."""
    one = record("GET /x?token=1", password="pw", api_key="k")
    seen = as_json(one, allow=("api_key",))
    assert (seen["message"], seen["password"], seen["api_key"]) == (
        "GET /x?token=REDACTED",
        "REDACTED",
        "k",
    )


def test_a_huge_message_is_cut() -> None:
    """A line has a bound that log shippers can take."""
    assert len(as_json(record("x" * 10**6))["message"]) == MAX_MESSAGE


def test_the_text_line_is_for_people() -> None:
    """Level, time, module, process, thread, message; then what else is known, as words."""
    with trace.use_span(trace.NonRecordingSpan(SPAN)), log_context(tenant="AA"):
        text = TextFormatter().format(record(rows=3, note="two words", token="t", empty=""))
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,250", "TIME", text) == (
        "INFO TIME load 11 22 rows loaded tenant=AA rows=3 "
        'note="two words" token=REDACTED empty="" '
        f"trace_id={0xA:032x} span_id={0xB:016x}"
    )


def test_the_text_line_has_its_traceback_below() -> None:
    """Fields stay on the first line."""
    one = record(rows=3)
    one.exc_info = (ValueError, ValueError("no rows"), None)
    lines = TextFormatter().format(one).splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("rows loaded rows=3")
    assert lines[1] == "ValueError: no rows"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_wrong_log_call_is_still_formatted(formatter: logging.Formatter) -> None:
    """The standard formatter raises, and prints a traceback in place of the record."""
    one = record("%d rows", "three")
    with pytest.raises(TypeError):
        logging.Formatter().format(one)
    assert "%d rows [" in formatter.format(one)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


RESERVED = {*vars(logging.makeLogRecord({})), "message", "asctime"}
EXTRAS = st.dictionaries(
    st.one_of(st.text().filter(lambda key: key not in RESERVED), st.integers(), st.none()),
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
            st.characters(categories=["Cs"]), st.builds(Unprintable), st.builds(object),
        ),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=6,
    ),
)  # fmt: skip


@given(EXTRAS, st.text(), st.lists(st.one_of(st.text(), st.builds(Unprintable)), max_size=2))
def test_any_call_is_formatted_as_one_json_line(
    extra: dict[Hashable, object], message: str, args: list[object]
) -> None:
    """Whatever the values, the names, the message and its arguments are."""
    one = record(message, *args)
    one.__dict__.update(extra)  # type: ignore[arg-type]
    as_json(one)
    TextFormatter().format(one).encode()
