"""The dashboard where hosts differ: names that are shared, fields called like ours, odd answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from visits import acme, alert, ann, client, config, get, other, user
from work.models import Flow, Team

from etl_telemetry.django import mapping
from etl_telemetry.django.dashboard import ALL, access, checks

__all__ = ["acme", "ann", "other"]

pytestmark = pytest.mark.django_db


@contextmanager
def mapped(role: str, **fields: str) -> Iterator[None]:
    """Run a test with another mapping of one of the models."""
    models = mapping.current()
    told: Any = getattr(models, role)
    changed: Any = {role: replace(told, fields={**told.fields, **fields})}
    with patch.object(mapping, "current", lambda: replace(models, **changed)):
        yield


# --- Who sees what ---


def test_alerts_of_a_name_that_two_organizations_bear_are_shown_to_neither() -> None:
    """An alert knows its organization by name only: whose it is cannot be told."""
    ours, theirs = (Team.objects.create(code=code, label="acme") for code in ("a", "b"))
    unique = Team.objects.create(code="c", label="unique")
    flow, _ = (Flow.objects.create(title="daily", team=team) for team in (ours, theirs))
    alert("Theirs", "acme", "daily")
    alert("Unique", "unique", "daily")
    ann = client(user("ann", ours, unique))
    both = client(user("both", ours, theirs))
    root = client(user("root", is_superuser=True))
    with mapped("organization", name="label"):
        for who, system, pipeline in (
            (ann, ["Unique"], []),
            (both, ["Theirs"], ["Theirs"]),
            (root, ["Unique", "Theirs"], ["Theirs"]),
        ):
            assert [each["name"] for each in get(who, "system")["alerts"]] == system
            told = get(who, f"pipelines/{flow.pk}")["alerts"]
            assert [each["name"] for each in told] == pipeline
        assert b"Theirs" not in ann.get(f"/monitoring/pipelines/{flow.pk}/").content


@pytest.mark.parametrize("name", ["other", "unknown"])
def test_alerts_of_everybody_are_not_those_of_an_organization_of_that_name(name: str) -> None:
    """`other` and `unknown` stand for all organizations that have no name of their own."""
    team = Team.objects.create(code=name)
    flow = Flow.objects.create(title="daily", team=team)
    alert("Anybody", name, "daily")
    who = client(user("ann", team))
    assert get(who, "system")["alerts"] == []
    assert get(who, f"pipelines/{flow.pk}")["alerts"] == []
    assert access._plain(["acme", name]) == access.Access(("acme", name), ("acme",))


def test_check_warns_of_names_that_need_not_be_unique() -> None:
    """Only a field that is unique, or a constraint, keeps alerts apart."""
    with mapped("organization", name="label"):
        [told] = checks._problems(None)
    assert told.id == "etl_telemetry.W034"
    assert told.msg == (
        "Two organizations can have the same name: work.Team.label is not unique. Its "
        "alerts are then shown only to users who see all organizations of that name."
    )


@pytest.mark.parametrize("given", [None, "acme", b"acme", 7, True])
def test_an_answer_that_is_none_shows_nothing(acme: Team, given: object) -> None:
    """A function that forgets its `return` must not open the doors."""
    Flow.objects.create(title="daily", team=acme)
    who = client(user("ann", acme))
    with (
        config(dashboard_access="work.rules:see"),
        patch.object(access, "function", lambda path: lambda who: given),
        patch.object(access.guard, "drop") as dropped,
    ):
        get(who, "pipelines", 403)
    [(_, told)] = dropped.call_args_list
    assert told["detail"] == (
        "dashboard_access must return organizations or dashboard.ALL, got "
        f"{type(given).__name__}: nothing is shown"
    )


def test_all_is_said_explicitly(acme: Team, other: Team) -> None:
    """`ALL` opens everything, alerts of the platform included."""
    for team in (acme, other):
        Flow.objects.create(title=f"of {team.code}", team=team)
    alert("Platform", "")
    who = client(user("ann"))
    with (
        config(dashboard_access="work.rules:see"),
        patch.object(access, "function", lambda path: lambda who: ALL),
    ):
        assert get(who, "pipelines")["total"] == 2
        assert [each["name"] for each in get(who, "system")["alerts"]] == ["Platform"]
