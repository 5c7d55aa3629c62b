"""The dashboard where it stands: what the observer told it, what it costs, what it needs."""

from __future__ import annotations

import re
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone
from visits import API, acme, ago, alert, ann, client, get, run, user
from work.models import Flow, Job, Team

from etl_telemetry.django.dashboard import checks, doors, tables
from etl_telemetry.django.dashboard.models import Snapshot

__all__ = ["acme", "ann"]

pytestmark = pytest.mark.django_db


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
    from etl_telemetry.catalogue import (
        ACTIVE_PIPELINE_RUNS,
        DATABASE_CONNECTIONS,
        DATABASE_TYPE,
        QUEUE_NAME,
        QUEUE_SIZE,
    )
    from etl_telemetry.django.dashboard import now
    from etl_telemetry.observer import Alone, Observer, Reading, Source, board

    def shared() -> list[Reading]:
        return [
            Reading(QUEUE_SIZE, 7, {QUEUE_NAME: "etl"}),
            Reading(ACTIVE_PIPELINE_RUNS, 1),
            Reading(DATABASE_CONNECTIONS, 3, {DATABASE_TYPE: "postgresql"}),
        ]

    now.keep(good_for=60)
    assert not Snapshot.objects.exists()
    observer = Observer([Source("shared", shared)], lead=Alone())
    try:
        assert observer.once()
        now.keep(good_for=60)
    finally:
        observer.release()
        board.end("shared")
    assert Snapshot.objects.get().readings == [
        ["celery.queue.size", {"queue.name": "etl"}, 7],
        ["database.connections.active", {"database.type": "postgresql"}, 3],
    ]


# --- What it costs, and where it stands ---


def test_number_of_queries_is_fixed(ann: Client, acme: Team) -> None:
    """One pipeline with one run costs what sixty with many cost."""
    flow = Flow.objects.create(title="daily", team=acme)
    Job.objects.create(execution=run(flow), stats={"rows": 1})
    paths = (
        "/monitoring/", "/monitoring/?sort=-failed", f"/monitoring/pipelines/{flow.pk}/",
        API + "system",
    )  # fmt: skip
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
