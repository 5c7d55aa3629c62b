"""Kinds of values: what they take, and that they refuse the rest in one way."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.config import FIELDS, several
from etl_telemetry.config.endpoints import ENDPOINT, URL
from etl_telemetry.config.kinds import (
    ANYTHING,
    BOOLEAN,
    EXPONENTIAL,
    LEVEL,
    LEVEL_NAME,
    MILLISECONDS,
    SECONDS,
    STANDARD_BOOLEAN,
    SWITCHED_OFF,
    TEXT,
    Kind,
    WrongValue,
    choice,
    nearest,
    number,
    whole,
)
from etl_telemetry.config.standard import CHECKED
from support.patience import PATIENT

ALL = [
    *{id(v.kind): v.kind for row in FIELDS for v in (*row.standard, *row.own)}.values(),
    *{id(kind): kind for kind in CHECKED.values()}.values(),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner)
) | st.builds(object) | st.frozensets(st.text() | st.integers())  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (TEXT, "  shop ", "shop"),
        (TEXT, "Müller & Söhne", "Müller & Söhne"),
        (BOOLEAN, True, True),
        (BOOLEAN, " Yes ", True),
        (BOOLEAN, "0", False),
        (STANDARD_BOOLEAN, "TRUE", True),
        (STANDARD_BOOLEAN, "false", False),
        (SWITCHED_OFF, "true", False),
        (SWITCHED_OFF, "False", True),
        (ANYTHING, "0", True),
        (ANYTHING, "false", True),
        (whole(at_least=1), " 7 ", 7),
        (whole(at_least=0), 0, 0),
        (number(low=0, high=1), 1, 1.0),
        (number(low=0, high=1), "0.25", 0.25),
        (SECONDS, "1e-3", 0.001),
        (MILLISECONDS, "1500", 1.5),
        (choice("otlp", "none"), " OTLP ", "otlp"),
        (EXPONENTIAL, "base2_exponential_bucket_histogram", True),
        (EXPONENTIAL, "explicit_bucket_histogram", False),
        (LEVEL, "warning", logging.WARNING),
        (LEVEL, "15", 15),
        (LEVEL, logging.ERROR, logging.ERROR),
        (LEVEL_NAME, "debug", "DEBUG"),
        (ENDPOINT, "http://localhost:4318", "http://localhost:4318"),
        (ENDPOINT, "https://collector.example/otlp?team=etl", "https://collector.example/otlp?team=etl"),
        (ENDPOINT, "http://[::1]:4318", "http://[::1]:4318"),
        (URL, "http://rabbitmq:15672/path", "http://rabbitmq:15672/path"),
        (ENDPOINT, "collector:4317", "collector:4317"),
        (ENDPOINT, "dns:///collector.example:4317", "dns:///collector.example:4317"),
        (ENDPOINT, "unix:/run/otel.sock", "unix:/run/otel.sock"),
        (several.names(), "a, b,,a", ("a", "b")),
        (several.names(), ["b", "a"], ("b", "a")),
        (several.names(), {"b", "a"}, ("a", "b")),
        (several.names("x", "y"), "y", ("y",)),
        (several.HOSTS, "api.example.com, .example.org, 127.0.0.1, ::1",
         ("api.example.com", ".example.org", "127.0.0.1", "::1")),
        (several.HEADERS, "api-key=a%20b, X-Team = etl=1 ", {"api-key": "a b", "X-Team": "etl=1"}),
        (several.HEADERS, {"api-key": "k"}, {"api-key": "k"}),
        (several.ATTRIBUTES, "team=etl%2Cwest,,host=h", {"team": "etl,west", "host": "h"}),
        (several.ATTRIBUTES, {"shard": 3, "zones": ["a", "b"]}, {"shard": 3, "zones": ["a", "b"]}),
        (several.TASK_TYPES, "shop.fetch_*=extract", {"shop.fetch_*": "extract"}),
        (several.MODELS, '{"run": {"model": "shop.Run"}}', {"run": {"model": "shop.Run"}}),
        (several.CALLABLE, "shop.rules:see", "shop.rules:see"),
        (several.INSTALLED_PROPAGATORS, "tracecontext,none", ("tracecontext", "none")),
    ],
)  # fmt: skip
def test_kind_reads_text_and_python_values(kind: Kind, raw: object, value: object) -> None:
    """Environment variables are text, settings and options may be Python values."""
    assert kind.parse(raw) == value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (TEXT, ""), (TEXT, "  "), (TEXT, "a\nb"), (TEXT, "\ud800"), (TEXT, 1.2), (TEXT, b"shop"),
        (BOOLEAN, "maybe"), (BOOLEAN, 1), (STANDARD_BOOLEAN, "1"), (SWITCHED_OFF, "no"),
        (whole(at_least=1), 0), (whole(at_least=1), "1.0"), (whole(at_least=1), True),
        (whole(at_least=0), "9" * 30), (number(low=0, high=1), 1.5),
        (number(low=0, high=1), "nan"), (SECONDS, 0), (SECONDS, "inf"), (SECONDS, True),
        (SECONDS, 10**400), (MILLISECONDS, "0"), (choice("a", "b"), "c"), (choice("a"), None),
        (LEVEL, -1), (LEVEL, "loud"), (LEVEL, False), (LEVEL_NAME, "15"),
        (ENDPOINT, "localhost"), (ENDPOINT, "ftp://collector"), (ENDPOINT, "http://"),
        (URL, "rabbitmq:15672"), (URL, "ftp://rabbitmq"),
        (ENDPOINT, "http://collector:0"), (ENDPOINT, "http://collector:99999"),
        (ENDPOINT, "http://a b"), (ENDPOINT, "http://[::1"), (ENDPOINT, 4318),
        (several.names(), ["a", 1]), (several.names(), 7), (several.names(), "a b"),
        (several.names("x"), "y"), (several.HOSTS, "http://api.example.com"),
        (several.HEADERS, "novalue"), (several.HEADERS, "a b=c"), (several.HEADERS, "a=%FF"),
        (several.HEADERS, {"a": 1}), (several.HEADERS, {1: "a"}), (several.HEADERS, ["a=b"]),
        (several.HEADERS, "a=b%0Ac"), (several.ATTRIBUTES, {"a": None}),
        (several.CALLABLE, "shop.rules"), (several.CALLABLE, "a:b,c:d"),
        (several.MODELS, "run=shop.Run"), (several.MODELS, "[1]"), (several.MODELS, {"run": 7}),
        (several.ATTRIBUTES, {"a": [1, "b"]}), (several.ATTRIBUTES, {"a": [["b"]]}),
        (several.ATTRIBUTES, {"a": float("nan")}), (several.INSTALLED_PROPAGATORS, "tracecontex"),
        (EXPONENTIAL, "base2"),
    ],
)  # fmt: skip
def test_kind_refuses_what_is_not_allowed(kind: Kind, raw: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(WrongValue):
        kind.parse(raw)


@PATIENT
@given(kind=st.sampled_from(ALL), raw=ANY)
def test_kind_returns_or_refuses_whatever_it_gets(kind: Kind, raw: object) -> None:
    """No value of any type brings another error than `WrongValue`."""
    with suppress(WrongValue):
        kind.parse(raw)


@PATIENT
@given(row=st.sampled_from(FIELDS), raw=SCALARS | st.lists(st.text(min_size=1)))
def test_what_a_kind_returned_it_takes_again(row: Any, raw: object) -> None:
    """A value that came out of the configuration can be given as an option."""
    try:
        value = row.kind.parse(raw)
    except WrongValue:
        return
    assert row.kind.parse(value) == value


@PATIENT
@given(
    st.dictionaries(
        st.text("abc.-_09", min_size=1), st.text().filter(str.isprintable).map(str.strip)
    )
)
def test_pairs_survive_percent_encoding(pairs: dict[str, str]) -> None:
    """Any value can be written into one variable."""
    text = ",".join(f"{key}={quote(value, safe='')}" for key, value in pairs.items())
    assert several.ATTRIBUTES.parse(text) == pairs


@PATIENT
@given(st.floats(min_value=1e-3, max_value=1e9))
def test_milliseconds_are_seconds_by_a_thousand(milliseconds: float) -> None:
    """The standard variables count milliseconds, ours seconds."""
    assert MILLISECONDS.parse(repr(milliseconds)) == milliseconds / 1_000


def test_nearest_compares_in_any_case_and_without_the_prefix() -> None:
    """A common prefix would make everything near."""
    known = ["ETL_TELEMETRY_DEADLINE", "ETL_TELEMETRY_ENDPOINT"]
    prefix = "ETL_TELEMETRY_"
    assert nearest("ETL_TELEMETRY_deadlin", known, prefix=prefix) == (
        "did you mean 'ETL_TELEMETRY_DEADLINE'?"
    )
    assert nearest("ETL_TELEMETRY_XYZ", known, prefix=prefix) is None
