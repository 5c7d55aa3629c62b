"""The table: complete, documented, and the only place of a default."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping

import pytest
from opentelemetry.util import types as otel_types

from etl_telemetry.config import FIELDS, Config, Field, resolve
from etl_telemetry.config.table import INSTRUMENTATIONS
from etl_telemetry.instrumentation import table as instrumentation

FOUND_ON_THE_WAY = {"warnings", "ignored_variables"}


def test_every_field_is_a_row() -> None:
    """What a user can set is in the table, in the order of the class."""
    names = [field.name for field in dataclasses.fields(Config)]
    assert [row.name for row in FIELDS] == [name for name in names if name not in FOUND_ON_THE_WAY]


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.name)
def test_row_documents_itself(row: Field) -> None:
    """The reference is written from the rows: meaning, variables, what is allowed, default."""
    assert row.doc.endswith(".")
    assert f"ETL_TELEMETRY_{row.name.upper()}" in row.env
    assert row.setting == row.name.upper()
    assert row.allowed
    assert row.default is None or row.kind.parse(row.default) == row.default
    if row.inherits:
        assert row.inherits in {other.name for other in FIELDS}


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.name)
def test_default_is_of_the_declared_type(row: Field) -> None:
    """The annotation of the field and its default agree."""
    hint = typing.get_type_hints(Config, localns=vars(otel_types))[row.name]
    kinds = typing.get_args(hint) if typing.get_origin(hint) not in {tuple, Mapping} else (hint,)
    # A typing construct is checked by its origin: Mapping[str, str] by Mapping.
    plain = tuple(typing.get_origin(kind) or kind for kind in kinds or (hint,))
    assert isinstance(row.default, tuple(type(None) if kind is None else kind for kind in plain))


def test_nothing_given_is_the_defaults() -> None:
    """`Config()` and an empty `resolve` are the same."""
    assert resolve({}, {}, None) == Config()


def test_no_variable_belongs_to_two_fields() -> None:
    """One variable, one meaning."""
    names = [name for row in FIELDS for name in row.env]
    assert len(names) == len(set(names))


def test_instrumentations_are_those_of_the_instrumentation_table() -> None:
    """The names stand twice, since imports go down only."""
    assert tuple(entry.name for entry in instrumentation.INSTRUMENTATIONS) == INSTRUMENTATIONS


def test_configuration_cannot_be_changed() -> None:
    """It is read by many threads: frozen, its maps too."""
    config = resolve({"headers": {"a": "b"}, "task_types": {"a": "b"}}, {}, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.deadline = 3.0  # type: ignore[misc]
    for mapping in (config.headers, config.task_types, config.resource_attributes):
        with pytest.raises(TypeError):
            mapping["c"] = "d"  # type: ignore[index]


def test_repr_shows_differences_without_secrets() -> None:
    """A log line with the configuration gives nothing away."""
    config = resolve(
        {
            "service_name": "shop",
            "headers": {"authorization": "Bearer hidden1"},
            "endpoint": "https://ann:hidden2@collector/?key=hidden3",
            "resource_attributes": {"team": "etl", "db.password": "hidden4"},
            "deadline": 1,
        },
        {},
        None,
    )
    assert repr(config) == (
        "Config(service_name='shop', "
        "resource_attributes={'team': 'etl', 'db.password': 'REDACTED'}, "
        "endpoint='https://REDACTED:REDACTED@collector/?key=REDACTED', "
        "headers=REDACTED, deadline=1.0)"
    )
