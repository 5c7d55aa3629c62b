"""Which alerts go on, compared with a plain computation; who sees which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.django.alerts import facts
from etl_telemetry.django.alerts.payload import FIRING, RESOLVED
from etl_telemetry.django.alerts.queries import active, active_by_pipeline, as_json, history
from etl_telemetry.django.models import Alert
from support.alert_senders import by_wsgi
from support.alerts import alert, payload, resolved
from support.patience import PATIENT

BEGIN = datetime(2026, 11, 27, 10, 0, tzinfo=UTC)


@dataclass(frozen=True)
class News:
    """One row, in minutes since `BEGIN`."""

    number: int
    starts: int
    ends: int | None
    heard: int

    def row(self) -> Alert:
        """Return it as a row."""
        moments = (None if m is None else at(m) for m in (self.starts, self.ends, self.heard))
        starts_at, ends_at, heard_at = moments
        assert starts_at
        assert heard_at
        return Alert(
            fingerprint=str(self.number),
            status=FIRING if self.ends is None else RESOLVED,
            starts_at=starts_at,
            ends_at=ends_at,
            labels={},
            annotations={},
            received_at=heard_at,
            heard_at=heard_at,
            delivery=UUID(int=0),
        )


def at(minute: int) -> datetime:
    """Return a minute as the database takes it."""
    return facts.in_database(BEGIN + timedelta(minutes=minute))


def expected(rows: Iterable[News]) -> set[tuple[int, int]]:
    """Say in plain Python which alerts go on, as number and begin."""
    found = {}
    for one in sorted(rows, key=lambda row: row.starts):
        if one.ends is not None:
            continue
        ended = any(
            end.number == one.number
            and end.ends is not None
            and end.ends >= one.starts
            and one.heard <= end.heard + 5
            for end in rows
        )
        found[one.number] = None if ended else one.starts
    return {(number, begin) for number, begin in found.items() if begin is not None}


MINUTES = st.integers(0, 30)
NEWS = st.builds(
    lambda number, starts, lasts, heard: News(
        number, starts, None if lasts is None else starts + lasts, heard
    ),
    st.integers(1, 2),
    MINUTES,
    st.none() | MINUTES,
    MINUTES,
)


@PATIENT
@given(st.lists(NEWS, max_size=8, unique_by=lambda n: (n.number, n.starts, n.ends is None)))
def test_what_goes_on_is_what_plain_python_says(rows: list[News]) -> None:
    """In any order of arrival, with ends of another begin, and repeated after an end."""
    Alert.objects.all().delete()
    Alert.objects.bulk_create([one.row() for one in rows])
    found = [(int(one.fingerprint), one.starts_at) for one in active()]
    assert len(found) == len(set(found))
    assert set(found) == {(number, at(begin)) for number, begin in expected(rows)}


def told(*found: Alert) -> list[str]:
    """Name alerts by the end of their fingerprints."""
    return [one.fingerprint[-1] for one in found]


def test_a_resolved_alert_goes_on_no_more() -> None:
    """Whichever of the two came first."""
    by_wsgi(payload(alert(1), alert(2), alert(3)))
    by_wsgi(payload(resolved(1)))
    by_wsgi(payload(resolved(4)))
    by_wsgi(payload(alert(4)))
    assert sorted(told(*active())) == ["2", "3"]


def test_two_prometheus_that_saw_its_begin_at_different_times() -> None:
    """The end of one ends the begin that the other told: they are the same alert."""
    by_wsgi(payload(alert(startsAt="2026-11-27T10:00:05Z")))
    by_wsgi(payload(resolved(startsAt="2026-11-27T10:00:00Z")))
    assert list(active()) == []


def test_repeated_long_after_its_end_it_goes_on() -> None:
    """Alertmanager ended it, since it heard nothing; then it heard of it again."""
    by_wsgi(payload(alert()))
    by_wsgi(payload(resolved()))
    past = facts.in_database(datetime.now(UTC) - timedelta(minutes=6))
    Alert.objects.update(heard_at=past)
    by_wsgi(payload(alert()))
    assert told(*active()) == ["1"]
    by_wsgi(payload(resolved(endsAt="2026-11-27T11:00:00Z")))
    assert list(active()) == []
    end = facts.in_database(datetime(2026, 11, 27, 11, tzinfo=UTC))
    assert Alert.objects.get(status=RESOLVED).ends_at == end


@pytest.fixture
def of_two_organizations() -> None:
    """Make alerts of two organizations and one of the platform."""
    acme = {"organization": "acme", "pipeline_name": "orders"}
    late = "2026-11-27T10:01:00Z"
    by_wsgi(
        payload(
            alert(1, labels=acme),
            alert(2, labels={**acme, "alertname": "Other"}, startsAt=late),
            alert(3, labels={"pipeline.organization": "umbrella", "pipeline.name": "orders"}),
            alert(4, labels={"alertname": "ServiceDown"}),
        )
    )


@pytest.mark.usefixtures("of_two_organizations")
def test_each_sees_its_organizations_only() -> None:
    """None is everything; nothing is nothing; the platform's own on request."""
    assert told(*active(organizations=["acme"])) == ["2", "1"]
    assert told(*active(organizations=[])) == []
    assert told(*active(organizations=[""])) == []
    assert told(*active(organizations=["acme"], with_platform=True)) == ["2", "4", "1"]
    assert told(*active(organizations=[], with_platform=True)) == ["4"]
    assert told(*active()) == ["2", "4", "3", "1"]
    assert sorted(told(*history(organizations=["umbrella"]))) == ["3"]
    assert len(history()) == 4


@pytest.mark.usefixtures("of_two_organizations")
def test_by_pipeline_in_one_query() -> None:
    """Pipelines of the same name in two organizations are two."""
    with CaptureQueriesContext(connection) as queries:
        found = active_by_pipeline()
    assert len(queries) == 1
    assert {key: told(*alerts) for key, alerts in found.items()} == {
        ("acme", "orders"): ["2", "1"],
        ("umbrella", "orders"): ["3"],
    }
    assert list(active_by_pipeline(organizations=["acme"])) == [("acme", "orders")]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan of PostgreSQL depends on sizes")
def test_what_goes_on_is_found_by_fingerprint() -> None:
    """40,000 rows took 188 s where SQLite looked through all ends for each begin; now 0.4 s."""
    plan = active().explain()
    assert plan.count("(fingerprint=?") == 2, plan


def test_as_json() -> None:
    """What a page or an API needs, and no more."""
    by_wsgi(payload(alert(labels={"alertname": "A", "severity": "critical"})))
    one = Alert.objects.get()
    assert as_json(one) == {
        "fingerprint": "0000000000000001",
        "name": "A",
        "status": "firing",
        "severity": "critical",
        "summary": "1 of 5 runs failed",
        "organization": "",
        "pipeline_name": "",
        "run_id": "",
        "trace_id": "",
        "starts_at": one.starts_at.isoformat(),
        "ends_at": None,
        "heard_at": one.heard_at.isoformat(),
        "labels": {"alertname": "A", "severity": "critical"},
        "annotations": {"summary": "1 of 5 runs failed"},
        "links": {
            "rule": "http://prometheus:9090/graph",
            "alertmanager": "http://alertmanager:9093",
        },
    }
    assert str(one).startswith("A firing since 2026-11-27 ")


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//host/x", "ftp://host", "http://[", "http:", "data:,x", ""]
)
def test_only_links_that_are_safe_to_click(url: str) -> None:
    """Whoever writes an annotation must not run code in the reader's page."""
    annotations = {"runbook_url": url, "dashboard_url": "https://grafana/d/1"}
    by_wsgi(payload(alert(generatorURL=url, annotations=annotations), externalURL=url))
    assert Alert.objects.get().links == {"dashboard": "https://grafana/d/1"}


def test_prune_command(capsys: pytest.CaptureFixture[str]) -> None:
    """For whoever shortens the time that alerts are kept."""
    by_wsgi(payload(alert(1), alert(2)))
    old = facts.in_database(datetime.now(UTC) - timedelta(days=8))
    Alert.objects.filter(fingerprint="0000000000000001").update(heard_at=old)
    call_command("prune_alerts")
    call_command("prune_alerts", "--days=7")
    assert capsys.readouterr().out == "0 alerts deleted\n1 alerts deleted\n"
    assert told(*Alert.objects.all()) == ["2"]


def test_migrations_are_complete() -> None:
    """The models say what the migrations made."""
    call_command("makemigrations", "etl_telemetry", "--check", "--dry-run", verbosity=0)
