"""The dashboard through real requests: who sees what, what is told, and at which cost."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone
from visits import API, acme, ago, alert, ann, client, config, get, other, run, user
from work.models import Execution, Flow, Job, Team

from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.dashboard import access, checks, doors, tables
from etl_telemetry.django.dashboard.models import Snapshot
from etl_telemetry.pipelines.run import root_context

__all__ = ["acme", "ann", "other"]

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\"'&"
NO_SUCH = {"error": {"status": 404, "message": "There is no such page, or it is not yours to see."}}
INLINE = re.compile(r"<script(?! defer src=)|<style|\sstyle=|\son\w+=|javascript:", re.IGNORECASE)


# --- Who sees what ---


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


# --- What is told ---


def test_headers_are_strict_and_nothing_is_inline(ann: Client, acme: Team) -> None:
    """No inline script or style, no other host, not kept by caches: on pages, errors and API."""
    flow = Flow.objects.create(title="daily", team=acme)
    run(flow)
    for path in (
        "/monitoring/", f"/monitoring/pipelines/{flow.pk}/", "/monitoring/pipelines/0/",
        "/monitoring/?window=x", API + "system", API + "no",
    ):  # fmt: skip
        answer = ann.get(path)
        assert answer["Content-Security-Policy"] == doors.POLICY
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"
        assert "no-store" in answer["Cache-Control"]
        assert "Cookie" in answer["Vary"]
        if not path.startswith(API):
            assert INLINE.findall(answer.content.decode()) == []
            assert re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", answer.content.decode()) == []


def test_hostile_names_are_text(acme: Team) -> None:
    """Names of pipelines, organizations, users, alerts, errors, steps and reasons."""
    team = Team.objects.create(code=HOSTILE[:40])
    flow = Flow.objects.create(title=HOSTILE, team=team)
    failed = run(flow, "ERROR")
    Execution.objects.filter(pk=failed.pk).update(problem=HOSTILE, origin=HOSTILE[:20])
    stats = {HOSTILE: {"read": 1, "rejected": 1, "reasons": {HOSTILE: 1}}}
    Job.objects.create(execution=failed, stats=stats)
    made = alert(HOSTILE, team.code, HOSTILE)
    Alert.objects.filter(pk=made.pk).update(
        annotations={"runbook_url": "javascript:alert(1)", "summary": HOSTILE}
    )
    who = client(user("ann", team))
    with config(dashboard_links={"Trace": "https://t/{trace_id}?p={pipeline}&o={organization}"}):
        for path in ("/monitoring/", f"/monitoring/pipelines/{flow.pk}/?q={HOSTILE}"):
            page = who.get(path).content.decode()
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in page
            assert "javascript:" not in page
            assert "p=%3Cscript%3Ealert%281%29%3C%2Fscript%3E" in page
            assert INLINE.findall(page) == []


def test_links_name_the_trace_of_the_run(ann: Client, acme: Team) -> None:
    """The trace id follows from the run id; what needs a run is left out where there is none."""
    flow = Flow.objects.create(title="daily load", team=acme)
    links = {
        "Trace": "https://traces/{trace_id}",
        "Logs": "/logs?run={run_id}",
        "Dashboard": "https://charts/d/etl?var-pipeline={pipeline}&var-org={organization}",
    }
    with config(dashboard_links=links):
        [row] = get(ann, "pipelines")["rows"]
        charts = "https://charts/d/etl?var-pipeline=daily%20load&var-org=acme"
        assert row["links"] == [{"name": "Dashboard", "url": charts}]
        ran = run(flow)
        trace = f"https://traces/{root_context(str(ran.pk)).trace_id:032x}"
        of_run = [{"name": "Trace", "url": trace}, {"name": "Logs", "url": f"/logs?run={ran.pk}"}]
        [row] = get(ann, "pipelines")["rows"]
        assert row["links"] == [*of_run, {"name": "Dashboard", "url": charts}]
        [told] = get(ann, f"pipelines/{flow.pk}/runs")["rows"]
        assert told["links"] == of_run
        assert trace in ann.get("/monitoring/").content.decode()


def test_runs_are_told_with_steps_and_rejected_rows(ann: Client, acme: Team) -> None:
    """The latest first, with what their task runs counted."""
    flow = Flow.objects.create(title="daily", team=acme)
    run(flow, "DONE", hours=2, took=60)
    failed = run(flow, "TIMEOUT", hours=1, took=5)
    Execution.objects.filter(pk=failed.pk).update(problem="too late")
    load = {"read": 10, "processed": 7, "rejected": 2, "skipped": 1, "reasons": {"no date": 2}}
    Job.objects.create(execution=failed, stats={"steps": {"load": load}})
    Job.objects.create(execution=failed, stats=["nothing", {"read": "x"}])
    told = get(ann, f"pipelines/{flow.pk}/runs")
    assert [(each["status"], each["seconds"]) for each in told["rows"]] == [
        ("failed", 5.0),
        ("success", 60.0),
    ]
    first = told["rows"][0]
    assert (first["rejected"], first["processed"], first["error"]) == (2, 7, "too late")
    assert first["tasks"][0]["steps"] == [{"name": "load", **load}]
    assert first["tasks"][1]["steps"] == []
    page = ann.get(f"/monitoring/pipelines/{flow.pk}/").content.decode()
    assert '<strong class="rejected">2</strong>' in page
    assert "no date: 2" in page


def test_runs_and_pipelines_come_in_parts(ann: Client, acme: Team) -> None:
    """Fifty at a time; a search narrows; a page behind the last one is empty."""
    flows = [Flow(title=f"flow {number:03}", team=acme) for number in range(120)]
    Flow.objects.bulk_create(flows)
    names = [row["figures"]["pipeline_name"] for row in get(ann, "pipelines?page=3")["rows"]]
    assert names == [f"flow {number:03}" for number in range(100, 120)]
    told = get(ann, "pipelines?page=4")
    assert (told["rows"], told["pages"], told["total"]) == ([], 3, 120)
    assert get(ann, "pipelines?q=W+11")["total"] == 10
    flow = Flow.objects.get(title="flow 000")
    for number in range(51):
        run(flow, hours=number / 10)
    first, second = (get(ann, f"pipelines/{flow.pk}/runs?page={page}") for page in (1, 2))
    assert (len(first["rows"]), first["more"]) == (50, True)
    assert (len(second["rows"]), second["more"]) == (1, False)
    page = ann.get("/monitoring/?q=flow&page=2").content.decode()
    assert 'rel="next" href="?window=24h&amp;q=flow&amp;page=3"' in page
    assert 'rel="prev" href="?window=24h&amp;q=flow&amp;page=1"' in page


def test_trend_compares_with_the_window_before(ann: Client, acme: Team) -> None:
    """Success rate and median; nothing where there is nothing to compare."""
    flow = Flow.objects.create(title="daily", team=acme)
    run(flow, "DONE", hours=30, took=10)
    run(flow, "DONE", hours=1, took=13)
    run(flow, "ERROR", hours=2)
    Flow.objects.create(title="never", team=acme)
    daily, never = get(ann, "pipelines")["rows"]
    assert (daily["success_trend"], daily["duration_trend"]) == (-0.5, 3.0)
    assert (never["success_trend"], never["duration_trend"]) == (None, None)
    page = ann.get("/monitoring/").content.decode()
    assert "▼ 50 points" in page
    assert "▲ 3 s slower" in page


@pytest.mark.parametrize(
    ("window", "parts"), [("1h", 61), ("24h", 25), ("7d", 8), ("90d", 91), ("366d", 53)]
)
def test_series_has_every_part_of_the_window(
    ann: Client, acme: Team, window: str, parts: int
) -> None:
    """Minutes, hours, days; what ran is in the last of them, and the parts add up to the window."""
    flow = Flow.objects.create(title="daily", team=acme)
    ran = run(flow, "DONE", hours=0, took=4)
    run(flow, "DONE", hours=0, took=8)
    Job.objects.create(execution=ran, stats={"rows": 100})
    series = get(ann, f"pipelines/{flow.pk}?window={window}")["series"]
    assert len(series) in {parts - 1, parts, parts + 1}
    last = series[-1]
    known = ("successful_runs", "failed_runs", "rows", "median_duration", "success_rate")
    assert [last[name] for name in known] == [2, 0, 100, 6.0, 1.0]
    assert last["p95_duration"] == pytest.approx(7.8)
    assert sum(bucket["successful_runs"] for bucket in series) == 2
    length = {"m": 60, "h": 3600, "d": 86400}[window[-1]] * int(window[:-1])
    # Days of a zone: one with 23 or 25 hours is as long as it was.
    assert sum(bucket["seconds"] for bucket in series) == pytest.approx(length, abs=3601)
    assert series[0]["success_rate"] is None


def test_series_counts_each_run_once(ann: Client, acme: Team) -> None:
    """Over each kind of part the sums are those of the system figures."""
    flow = Flow.objects.create(title="daily", team=acme)
    states = ["DONE", "ERROR", "TIMEOUT", "VANISHED", "STOPPED", "QUEUED", "RUNNING"]
    for number in range(140):
        run(flow, states[number % 7], hours=number * 1.7)
    for window in ("2h", "3d", "10d", "100d"):
        told = get(ann, f"system?window={window}")
        names = ("successful_runs", "failed_runs", "cancelled_runs", "active_runs")
        total = sum(bucket[name] for bucket in told["series"] for name in names)
        assert total == told["system"]["total_runs"] > 0


@pytest.mark.parametrize(
    "query",
    ["window=", "window=1", "window=14m", "window=367d", "window=-1h", "window=1e3h", "window=1H",
     "window=999999999999h", "page=0", "page=x", "page=-1", "page=10001", "page=1.5",
     "q=" + "x" * 201, "q=%00"],
)  # fmt: skip
def test_wrong_parameters_are_400_with_a_reason(ann: Client, acme: Team, query: str) -> None:
    """What is allowed, and what was given: on pages and in the API."""
    flow = Flow.objects.create(title="daily", team=acme)
    name = query.partition("=")[0]
    for path in (f"/monitoring/?{query}", f"/monitoring/pipelines/{flow.pk}/?{query}"):
        page = ann.get(path)
        assert page.status_code == 400
        assert f"<p>{name} must be " in page.content.decode()
    assert get(ann, f"pipelines?{query}", 400)["error"]["message"].startswith(f"{name} must be ")


def test_only_get_is_answered(ann: Client, acme: Team) -> None:
    """Nothing here changes anything."""
    assert ann.post("/monitoring/").status_code == 405
    assert ann.delete(API + "system").status_code == 405
    assert ann.head("/monitoring/").status_code == 200


# --- What the observer knows ---


def test_now_is_what_the_observer_wrote_last(ann: Client, acme: Team) -> None:
    """Queue sizes and connections; never, recent, and too old."""
    page = ann.get("/monitoring/").content.decode()
    assert "no observer has reported yet" in page
    readings = [
        ["celery.queue.size", {"queue.name": "celery"}, 12],
        ["database.connections.active", {"database.type": "postgresql"}, 3],
        ["database.server.connections", {"database.alias": "default", "state": "idle"}, 2],
        ["database.server.connections.limit", {"database.alias": "default"}, 100],
    ]
    Snapshot.objects.create(taken_at=timezone.now(), good_for=60, readings=readings)
    told = get(ann, "system")["now"]
    assert (told["is_current"], told["queues"]) == (True, [{"name": "celery", "value": 12}])
    assert told["connections"] == [{"name": "postgresql", "value": 3}]
    assert told["states"] == [{"name": "default idle", "value": 2}]
    assert told["limits"] == [{"name": "default", "value": 100}]
    assert "<dt>Queue celery</dt><dd>12 waiting</dd>" in ann.get("/monitoring/").content.decode()
    Snapshot.objects.update(taken_at=ago(seconds=61))
    assert get(ann, "system")["now"]["queues"] == []
    assert "the observer has not reported since" in ann.get("/monitoring/").content.decode()


def test_observer_writes_what_its_board_tells() -> None:
    """All sources of a process that leads, in one row."""
    from etl_telemetry.catalogue import ACTIVE_PIPELINE_RUNS, QUEUE_NAME, QUEUE_SIZE
    from etl_telemetry.django.dashboard import now
    from etl_telemetry.observer import Alone, Observer, Reading, Source, board

    def queues() -> list[Reading]:
        return [Reading(QUEUE_SIZE, 7, {QUEUE_NAME: "etl"}), Reading(ACTIVE_PIPELINE_RUNS, 1)]

    now.keep(good_for=60)
    assert not Snapshot.objects.exists()
    observer = Observer([Source("queues", queues)], lead=Alone())
    try:
        assert observer.once()
        now.keep(good_for=60)
    finally:
        observer.release()
        board.end("queues")
    assert Snapshot.objects.get().readings == [["celery.queue.size", {"queue.name": "etl"}, 7]]


# --- What it costs, and where it stands ---


def test_number_of_queries_is_fixed(ann: Client, acme: Team) -> None:
    """One pipeline with one run costs what sixty with many cost."""
    flow = Flow.objects.create(title="daily", team=acme)
    Job.objects.create(execution=run(flow), stats={"rows": 1})
    paths = ("/monitoring/", f"/monitoring/pipelines/{flow.pk}/", API + "system")
    for path in paths:
        ann.get(path)

    def cost() -> list[int]:
        found = []
        for path in paths:
            with CaptureQueriesContext(
                connection,
            ) as asked:
                assert ann.get(path).status_code == 200
            found.append(len(asked))
        return found

    few = cost()
    for number in range(60):
        one = Flow.objects.create(title=f"flow {number}", team=acme)
        Job.objects.create(execution=run(one), stats={"rows": 1})
        Job.objects.create(execution=run(flow), stats={"rows": 1})
        alert(f"alert {number}", "acme", one.title)
    assert cost() == few
    assert max(few) <= 26, few


def test_it_is_mounted_anywhere(ann: Client, acme: Team) -> None:
    """In a namespace, behind a path that captures: its links stay there."""
    flow = Flow.objects.create(title="daily", team=acme)
    page = ann.get("/vienna/nested/board/")
    assert page.status_code == 200
    text = page.content.decode()
    assert f'href="/vienna/nested/board/pipelines/{flow.pk}/?window=24h"' in text
    [script] = re.findall(r'src="(/vienna/nested/board/assets/[^"]+)"', text)
    assert ann.get(f"/vienna/nested/board/pipelines/{flow.pk}/").status_code == 200
    sent = Client().get(script)
    assert (sent.status_code, sent["Content-Type"]) == (200, "text/javascript")
    assert sent["Cache-Control"] == "public, max-age=31536000, immutable"


def test_assets_are_two_files_and_no_others() -> None:
    """Their addresses follow from their content; an old address is not kept for good."""
    old = Client().get("/monitoring/assets/0000/dashboard.css")
    assert (old.status_code, old.has_header("Cache-Control")) == (200, False)
    for name in ("__init__.py", "..%2f__init__.py", "base.html"):
        assert Client().get(f"/monitoring/assets/0000/{name}").status_code == 404


def test_login_everywhere_and_no_session_are_no_trouble(acme: Team) -> None:
    """`LoginRequiredMiddleware` does not redirect the API; without sessions nobody is known."""
    strict = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    with override_settings(MIDDLEWARE=strict):
        get(Client(), "system", 401)
        assert Client().get("/monitoring/").status_code == 302
        assert Client().get("/monitoring/assets/0/dashboard.js").status_code == 200
        assert client(user("ann", acme)).get("/monitoring/").status_code == 200
    with override_settings(MIDDLEWARE=[]):
        get(Client(), "system", 401)


def test_old_schema_is_a_message_not_an_error(ann: Client, acme: Team) -> None:
    """New code before `migrate`: 503 says what to run, and the request's transaction lives."""
    tables.forget()
    with patch.object(Snapshot._meta, "db_table", "etl_telemetry_not_there"):
        page = ann.get("/monitoring/")
        assert page.status_code == 503
        assert "Run `manage.py migrate etl_telemetry`." in page.content.decode()
        assert get(ann, "system", 503)["error"]["message"] == (
            "The tables of the dashboard are not there yet."
        )
    assert ann.get("/monitoring/").status_code == 200


def test_without_models_the_page_says_what_to_set(ann: Client, acme: Team) -> None:
    """503 and the name of the setting; strangers are told nothing."""
    with patch.object(doors.mapping, "usable", lambda: False):
        page = ann.get("/monitoring/")
        assert page.status_code == 503
        assert "Set ETL_TELEMETRY[&#x27;MODELS&#x27;]" in page.content.decode()
        assert Client().get("/monitoring/").status_code == 302


def test_without_pygal_the_figures_are_a_table(ann: Client, acme: Team) -> None:
    """Open, since there is nothing else to see."""
    from etl_telemetry.django.dashboard import charts

    run(Flow.objects.create(title="daily", team=acme))
    assert ann.get("/monitoring/").content.count(b"<svg") == 4
    with patch.object(charts, "find_spec", lambda name: None):
        page = ann.get("/monitoring/").content.decode()
    assert "<svg" not in page
    assert '<details id="figures" open>' in page


def test_a_chart_that_fails_costs_the_chart_only(ann: Client, acme: Team) -> None:
    """The figures stay."""
    from etl_telemetry.django.dashboard import charts

    run(Flow.objects.create(title="daily", team=acme))
    with patch.object(charts, "_cleaned", side_effect=ValueError):
        page = ann.get("/monitoring/")
    assert (page.status_code, b"<svg" in page.content) == (200, False)


# --- What `check` says ---


def test_check_says_what_is_missing() -> None:
    """Memberships, a function that is none, the library of the charts."""
    assert checks._problems(None) == []
    with (
        patch.object(checks, "_members", lambda: None),
        patch.object(checks, "find_spec", lambda name: None),
    ):
        found = [(told.id, told.msg) for told in checks._problems(None)]
    nobody = "The dashboard shows nothing to anybody but superusers: no memberships are mapped."
    undrawn = "The dashboard draws no charts: pygal is not installed."
    assert found == [("etl_telemetry.W031", nobody), ("etl_telemetry.W033", undrawn)]
    [told] = checks._problems("work.models:Nobody")
    assert told.id == "etl_telemetry.W032"
    assert told.msg == (
        "dashboard_access must name a function that can be imported, got 'work.models:Nobody': "
        "module 'work.models' has no attribute 'Nobody' (from ETL_TELEMETRY)"
    )
    [told] = checks._problems("settings:SECRET_KEY")
    assert told.msg == (
        "dashboard_access must name a function of one argument, got 'settings:SECRET_KEY', which "
        "is a str (from ETL_TELEMETRY)"
    )
