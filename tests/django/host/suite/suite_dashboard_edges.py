"""The dashboard where hosts differ: names that are shared, fields called like ours, odd answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone
from visits import acme, alert, ann, client, config, get, other, run, user
from work.models import Flow, Job, Team

from etl_telemetry.catalogue import QUEUE_NAME, QUEUE_SIZE
from etl_telemetry.django import mapping
from etl_telemetry.django.dashboard import ALL, access, checks, now, questions
from etl_telemetry.django.dashboard.models import Snapshot
from etl_telemetry.django.figures import run_series
from etl_telemetry.observer import Reading
from etl_telemetry.observer.posting import Board

__all__ = ["acme", "ann", "other"]

pytestmark = pytest.mark.django_db


@contextmanager
def mapped(role: str, **fields: str | None) -> Iterator[None]:
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


# --- Where and how it is shown ---


def test_separators_of_the_host_stay_out_of_what_machines_read(ann: Client, acme: Team) -> None:
    """`USE_THOUSAND_SEPARATOR` would make 15,000 of what the script reads, and 1,234 of keys."""
    flow = Flow.objects.create(pk=12345, title="daily", team=acme)
    run(flow)
    with (
        override_settings(USE_THOUSAND_SEPARATOR=True, LANGUAGE_CODE="en"),
        config(dashboard_refresh=15.0),
    ):
        page = ann.get("/monitoring/").content.decode()
        assert 'data-refresh="15000"' in page
        assert "page 1 of 1." in page
        assert ann.get("/monitoring/pipelines/12345/").status_code == 200


def test_the_projects_own_captures_may_be_called_as_it_likes(ann: Client, acme: Team) -> None:
    """Whatever our own paths capture."""
    flow = Flow.objects.create(title="daily", team=acme)
    base = "/in/a/b/c/d/board/"
    page = ann.get(base)
    assert page.status_code == 200
    text = page.content.decode()
    assert f'href="{base}pipelines/{flow.pk}/?window=24h"' in text
    [script] = re.findall(rf'src="({base}assets/[^"]+)"', text)
    assert Client().get(script).status_code == 200
    assert ann.get(f"{base}pipelines/{flow.pk}/").status_code == 200
    assert ann.get(f"{base}api/v1/pipelines/{flow.pk}/runs").status_code == 200
    assert ann.get(f"{base}api/v1/nothing").status_code == 404


def test_a_key_with_nul_is_asked_of_no_database(ann: Client) -> None:
    """PostgreSQL refuses it with an error where keys are text."""
    with patch.object(questions, "_visible", side_effect=AssertionError):
        assert get(ann, "pipelines/a%00b", 404)["error"]["status"] == 404


# --- Runs and their rows ---


def test_rows_of_a_run_are_those_that_the_mapping_names(ann: Client, acme: Team) -> None:
    """As in the figures, whatever the steps are called."""
    flow = Flow.objects.create(title="daily", team=acme)
    ran = run(flow)
    for rows in (1000, 234):
        Job.objects.create(execution=ran, stats={"rows": rows, "other": {"rejected": 2}})
    [told] = get(ann, f"pipelines/{flow.pk}/runs")["rows"]
    assert (told["processed"], told["rejected"], told["more_tasks"]) == (1234, 4, 0)
    assert (
        '<td data-label="Rows">1,234</td>'
        in ann.get(f"/monitoring/pipelines/{flow.pk}/").content.decode()
    )


def test_rows_are_unknown_without_task_runs(ann: Client, acme: Team) -> None:
    """A dash, and null: not 0."""
    flow = Flow.objects.create(title="daily", team=acme)
    run(flow)
    models = mapping.current()
    with patch.object(mapping, "current", lambda: replace(models, task_run=None)):
        [told] = get(ann, f"pipelines/{flow.pk}/runs")["rows"]
        assert (told["processed"], told["rejected"]) == (None, None)
        page = ann.get(f"/monitoring/pipelines/{flow.pk}/").content.decode()
    assert '<td data-label="Rows">-</td>' in page
    assert '<td data-label="Rejected">-</td>' in page


def test_each_run_has_its_own_limit_of_task_runs(ann: Client, acme: Team) -> None:
    """One with very many takes nothing from the others; what is left out is said."""
    flow = Flow.objects.create(title="daily", team=acme)
    old, new = run(flow, hours=2), run(flow, hours=1)
    stats = {"rows": 1, "load": {"rejected": 1}}
    for ran, number in ((old, 2100), (new, 2)):
        Job.objects.bulk_create(Job(execution=ran, stats=stats) for _ in range(number))
    told = get(ann, f"pipelines/{flow.pk}/runs")["rows"]
    assert [
        (len(each["tasks"]), each["more_tasks"], each["processed"], each["rejected"])
        for each in told
    ] == [(2, 0, 2, 2), (40, 2060, 2100, 40)]
    page = ann.get(f"/monitoring/pipelines/{flow.pk}/").content.decode()
    assert "2,060 more task runs" in page
    assert '<strong class="rejected">40</strong> or more' in page


# --- Time ---


def test_days_are_labelled_in_the_zone_that_counted_them(ann: Client, acme: Team) -> None:
    """A reader in Honolulu sees Vienna's days by their dates in Vienna."""
    flow = Flow.objects.create(title="daily", team=acme)
    run(flow, hours=0)
    begins = [bucket["begin"][:10] for bucket in get(ann, "system?window=7d")["series"]]
    with timezone.override("Pacific/Honolulu"):
        page = ann.get("/monitoring/?window=7d").content.decode()
    assert re.findall(r'<tr><th scope="row">([\d-]+)</th><td>', page) == begins
    assert f">{begins[-1][5:]}</text>" in page


def test_long_windows_are_told_by_weeks(ann: Client, acme: Team) -> None:
    """Beyond 90 days; a week begins with its Monday."""
    flow = Flow.objects.create(title="daily", team=acme)
    for days in range(0, 360, 3):
        run(flow, hours=days * 24)
    series = get(ann, f"pipelines/{flow.pk}?window=366d")["series"]
    assert len(series) in {53, 54}
    begins = [datetime.fromisoformat(bucket["begin"]) for bucket in series]
    assert {begin.weekday() for begin in begins} == {0}
    assert sum(bucket["successful_runs"] for bucket in series) == 120


def test_days_are_those_of_utc_where_the_server_knows_no_zones(acme: Team) -> None:
    """MariaDB without zone tables: `CONVERT_TZ` would be NULL."""
    flow = Flow.objects.create(title="daily", team=acme)
    run(flow, hours=0)
    with patch.object(connection.features, "has_zoneinfo_database", False):  # noqa: FBT003
        series = run_series(window=timedelta(days=7))
    assert {bucket.begin.utcoffset() for bucket in series} == {timedelta(0)}
    assert sum(bucket.successful_runs for bucket in series) == 1


# --- No organization ---


def test_alerts_of_a_pipeline_without_organization(ann: Client, acme: Team) -> None:
    """They are shown to who sees everything, by no name and by `unknown`."""
    flow = Flow.objects.create(title="daily", team=acme)
    for name, organization in (("None", ""), ("Unknown", "unknown"), ("Theirs", "acme")):
        alert(name, organization, "daily")
    root = client(user("root", is_superuser=True))
    with mapped("pipeline", organization=None):
        told = get(root, f"pipelines/{flow.pk}")
        assert sorted(each["name"] for each in told["alerts"]) == ["None", "Unknown"]
        assert told["figures"]["organization"] is None
        get(ann, f"pipelines/{flow.pk}", 404)


def test_a_pipeline_whose_organization_is_null_has_none(acme: Team) -> None:
    """Not one that is called `None`."""
    Flow.objects.create(title="daily", team=None)
    root = client(user("root", is_superuser=True))
    links = {"Logs": "/{organization}/logs/{pipeline}", "Charts": "/charts/{pipeline}"}
    with config(dashboard_links=links):
        [row] = get(root, "pipelines")["rows"]
    assert row["figures"]["organization"] is None
    assert row["links"] == [{"name": "Charts", "url": "/charts/daily"}]


# --- What the observer knows ---


def test_the_observer_keeps_only_what_a_leader_has_read() -> None:
    """What was there stays until there is something newer, with the time at which it was read."""
    readings = [["celery.queue.size", {"queue.name": "etl"}, 7]]
    taken_at = timezone.now() - timedelta(seconds=5)
    Snapshot.objects.create(taken_at=taken_at, good_for=60, readings=readings)
    sleeping = Board()
    with patch.object(now, "board", sleeping):
        now.keep(good_for=60)
        sleeping.lead(time.monotonic() + 60)
        now.keep(good_for=60)
        assert Snapshot.objects.get().taken_at == taken_at
        sleeping.post("queues", [Reading(QUEUE_SIZE, 8, {QUEUE_NAME: "etl"})])
        sleeping._posted["queues"] = replace(sleeping._posted["queues"], at=time.monotonic() - 30)
        now.keep(good_for=60)
    told = Snapshot.objects.get()
    assert told.readings == [["celery.queue.size", {"queue.name": "etl"}, 8]]
    assert 29 < (timezone.now() - told.taken_at).total_seconds() < 60
