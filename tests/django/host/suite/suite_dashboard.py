"""The dashboard through real requests: what is told."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from visits import API, acme, alert, ann, client, config, get, run, user
from work.models import Execution, Flow, Job, Team

from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.dashboard import doors
from etl_telemetry.pipelines.run import root_context

__all__ = ["acme", "ann"]

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\"'&"
INLINE = re.compile(r"<script(?! defer src=)|<style|\sstyle=|\son\w+=|javascript:", re.IGNORECASE)


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


def test_the_table_stands_in_the_order_that_is_asked_for(ann: Client, acme: Team) -> None:
    """By each figure, both ways; equal ones by name, and what has no such figure last."""
    daily, hourly, _, weekly = (
        Flow.objects.create(title=title, team=acme)
        for title in ("daily", "hourly", "never", "weekly")
    )
    Job.objects.create(execution=run(daily, hours=3, took=30), stats={"rows": 300})
    for _ in range(2):
        run(hourly, hours=1, took=10)
    run(hourly, "ERROR", hours=2)
    run(weekly, "ERROR", hours=5)
    for order, names in {
        "name": "daily hourly never weekly", "-name": "weekly never hourly daily",
        "last": "weekly daily hourly never", "-last": "hourly daily weekly never",
        "-runs": "hourly daily weekly never", "runs": "never daily weekly hourly",
        "-failed": "hourly weekly daily never", "failed": "daily never hourly weekly",
        "success": "weekly hourly daily never", "-success": "daily hourly weekly never",
        "-median": "daily hourly never weekly", "median": "hourly daily never weekly",
        "p95": "hourly daily never weekly", "-p95": "daily hourly never weekly",
        "-rows": "daily hourly never weekly", "-speed": "daily hourly never weekly",
    }.items():  # fmt: skip
        rows = get(ann, f"pipelines?sort={order}")["rows"]
        told = [row["figures"]["pipeline_name"] for row in rows]
        assert told == names.split(), order
        page = ann.get(f"/monitoring/?sort={order}").content.decode()
        assert re.findall(r'">(\w+)</a></th>\s*<td>', page) == names.split(), order
    found = get(ann, "pipelines?sort=-failed&q=l")
    assert [row["figures"]["pipeline_name"] for row in found["rows"]] == [
        "hourly", "weekly", "daily",
    ]  # fmt: skip
    assert (found["total"], found["pages"]) == (3, 1)
    assert get(ann, "pipelines?sort=-failed&page=2")["rows"] == []
    page = ann.get("/monitoring/?sort=-failed&q=l").content.decode()
    assert re.findall(r'aria-sort="(\w+)"><a href="([^"]*)">([^<]*)<', page) == [
        ("descending", "?window=24h&amp;q=l&amp;sort=failed", "Failed")
    ]
    assert 'href="?window=7d&amp;q=l&amp;sort=-failed"' in page
    assert '<input type="hidden" name="sort" value="-failed">' in page
    assert '<th scope="col"><a href="?window=24h&amp;q=l">Pipeline</a>' in page


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
     "q=" + "x" * 201, "q=%00", "sort=", "sort=--name", "sort=password"],
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
