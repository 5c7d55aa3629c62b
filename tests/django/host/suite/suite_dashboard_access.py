"""The dashboard through real requests: who sees what."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from django.test import Client
from visits import acme, alert, ann, client, config, get, other, run, user
from work.models import Flow, Team

from etl_telemetry.django.dashboard import access

__all__ = ["acme", "ann", "other"]

pytestmark = pytest.mark.django_db

NO_SUCH = {"error": {"status": 404, "message": "There is no such page, or it is not yours to see."}}


def test_strangers_are_sent_to_the_login_and_told_401(acme: Team) -> None:
    """A page redirects, the API does not, and neither tells what there is."""
    flow = Flow.objects.create(title="daily", team=acme)
    for path in ("/monitoring/", f"/monitoring/pipelines/{flow.pk}/", "/monitoring/pipelines/no/"):
        answer = Client().get(path + "?window=7d")
        expected = (302, f"/accounts/login/?next={path}%3Fwindow%3D7d")
        assert (answer.status_code, answer["Location"]) == expected
    for path in ("system", "pipelines", f"pipelines/{flow.pk}", "pipelines/no", "nothing"):
        told = get(Client(), path, 401)
        assert told == {"error": {"status": 401, "message": "Sign in first."}}


def test_a_user_sees_only_its_organizations(ann: Client, acme: Team, other: Team) -> None:
    """Table, figures, series, top pipelines and alerts leave out what is somebody else's."""
    run(ours := Flow.objects.create(title="ours", team=acme))
    for _ in range(3):
        run(Flow.objects.create(title="theirs", team=other), "ERROR")
    alert("Ours", "acme", "ours")
    alert("Theirs", "other", "theirs")
    alert("Platform", "")
    page = ann.get("/monitoring/").content.decode()
    assert f'href="/monitoring/pipelines/{ours.pk}/?window=24h">ours</a>' in page
    assert "theirs" not in page
    assert "Theirs" not in page
    assert "Platform" not in page
    told = get(ann, "system")
    assert (told["system"]["total_runs"], told["failed_runs"], told["success_rate"]) == (1, 0, 1.0)
    assert [each["name"] for each in told["alerts"]] == ["Ours"]
    assert sum(bucket["successful_runs"] for bucket in told["series"]) == 1
    assert [row["figures"]["pipeline_name"] for row in get(ann, "pipelines")["rows"]] == ["ours"]


def test_what_is_somebody_elses_looks_like_what_does_not_exist(
    ann: Client, acme: Team, other: Team
) -> None:
    """The same 404, to the letter, for pages and API."""
    Flow.objects.create(title="ours", team=acme)
    theirs = Flow.objects.create(title="theirs", team=other)
    run(theirs)
    keys = (str(theirs.pk), "999999", "no-key", "9" * 40, "%00", "a/b")
    pages = {ann.get(f"/monitoring/pipelines/{key}/").content.split(b"<main")[1] for key in keys}
    assert len(pages) == 1
    for key in keys:
        assert ann.get(f"/monitoring/pipelines/{key}/").status_code == 404
        assert get(ann, f"pipelines/{key}", 404) == NO_SUCH
        assert get(ann, f"pipelines/{key}/runs", 404) == NO_SUCH
    assert get(ann, "nothing", 404) == NO_SUCH


def test_nobody_sees_anything_by_default(acme: Team) -> None:
    """No membership, no page; to be staff changes nothing."""
    Flow.objects.create(title="daily", team=acme)
    for who in (user("stranger"), user("staff", is_staff=True)):
        page = client(who).get("/monitoring/")
        assert page.status_code == 403
        assert "daily" not in page.content.decode()
        assert "You belong to no organization" in page.content.decode()
        assert get(client(who), "system", 403)["error"]["status"] == 403


def test_superusers_see_all_unless_that_is_switched_off(acme: Team, other: Team) -> None:
    """The rule is explicit: `dashboard_superusers`."""
    for team in (acme, other):
        Flow.objects.create(title=f"of {team.code}", team=team)
    alert("Platform", "")
    root = client(user("root", is_superuser=True))
    rows = get(root, "pipelines")["rows"]
    assert [row["figures"]["pipeline_name"] for row in rows] == ["of acme", "of other"]
    assert [each["name"] for each in get(root, "system")["alerts"]] == ["Platform"]
    with config(dashboard_superusers=False):
        get(root, "system", 403)


def test_a_function_of_the_project_decides(acme: Team, other: Team) -> None:
    """Instances, keys, a query set, `ALL`, nothing for nothing."""
    for team in (acme, other):
        Flow.objects.create(title=f"of {team.code}", team=team)
    who = client(user("ann", acme))
    given: Any = None
    with (
        config(dashboard_access="work.rules:see", dashboard_superusers=False),
        patch.object(access, "function", lambda path: lambda who: given),
    ):
        for told, seen in (
            ([other], ["of other"]), ([other.pk], ["of other"]),
            (Team.objects.filter(code="acme"), ["of acme"]), (access.ALL, ["of acme", "of other"]),
        ):  # fmt: skip
            given = told
            rows = get(who, "pipelines")["rows"]
            assert [row["figures"]["pipeline_name"] for row in rows] == seen
        given = []
        get(who, "pipelines", 403)


def test_inactive_users_see_nothing(acme: Team) -> None:
    """Also where the project's backend lets them in."""
    gone = user("gone", acme, is_superuser=True, is_active=False)
    assert access.of(gone).sees_any is False
