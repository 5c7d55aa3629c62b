"""Every search of Kibana's saved objects returns what happened: on the real engine, filled."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support import kibana, kibana_pictures
from support.kibana import Request
from support.stack.product import PRODUCT

OBJECTS = kibana.load(PRODUCT / "kibana" / "etl.ndjson")
CHARTS, SEARCHES, BOARDS = (OBJECTS.of(kind) for kind in ("lens", "search", "dashboard"))
LEVELS = {"INFO": "INFO", "WARNING": "WARN", "ERROR": "ERROR"}
"""Python's levels as OpenTelemetry calls them."""


def send(proof: Any, request: Request) -> dict[str, Any]:
    """Send a search."""
    return dict(proof.stack.elasticsearch.ask.search(request.index, **request.body))


def rows(proof: Any, chart: str) -> list[dict[str, Any]]:
    """Return what a chart shows for the whole time."""
    saved = CHARTS[chart]
    request = kibana.of_chart(OBJECTS, saved, begin=proof.begin, end=proof.end)
    return kibana.rows(saved, send(proof, request))


def sums(proof: Any, chart: str, *labels: str, of: str) -> Counter[tuple[Any, ...]]:
    """Return what a chart counts, summed over everything but these columns."""
    found: Counter[tuple[Any, ...]] = Counter()
    for row in rows(proof, chart):
        found[tuple(row[label] for label in labels)] += row[of]
    return found


@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_shows_something(chart: str, proof: Any) -> None:
    """Each of its columns has a value in some row."""
    found = rows(proof, chart)
    assert found
    for label in found[0]:
        assert any(row[label] not in (None, "") for row in found), label
    assert any(list(row.values())[-1] for row in found)


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_finds_records(search: str, proof: Any) -> None:
    """Each of its columns has a value in some record, and every record has a time."""
    saved = SEARCHES[search]
    request = kibana.of_search(OBJECTS, saved, begin=proof.begin, end=proof.end)
    hits = send(proof, request)["hits"]["hits"]
    assert hits
    for column in saved["attributes"]["columns"]:
        assert any(column in hit["fields"] for hit in hits), column


@pytest.mark.parametrize("board", BOARDS)
def test_every_control_has_something_to_choose(board: str, proof: Any) -> None:
    """Environment, organization, pipeline and the others."""
    asked = list(kibana.controls(OBJECTS, BOARDS[board]))
    assert asked
    for field, request in asked:
        assert send(proof, request)["aggregations"]["suggestions"]["buckets"], field


def test_runs_by_status_are_those_of_the_ledger(proof: Any) -> None:
    """Each run once, with its end."""
    found = sums(proof, "etl-runs-by-status", "Status", of="Runs")
    assert found == Counter((run["status"],) for run in proof.runs)


def test_failed_runs_are_those_of_the_ledger(proof: Any) -> None:
    """With their pipeline."""
    found = sums(proof, "etl-failed-runs", "Pipeline", "Status", of="Runs")
    assert found == Counter(
        (run["pipeline"], run["status"])
        for run in proof.runs
        if run["status"] in ("failed", "lost")
    )


def test_failed_runs_are_listed_with_their_traces(proof: Any) -> None:
    """One record for each failed run of the ledger, and none of another."""
    request = kibana.of_search(
        OBJECTS, SEARCHES["etl-failed-run-records"], begin=proof.begin, end=proof.end
    )
    found = {hit["fields"]["trace_id"][0] for hit in send(proof, request)["hits"]["hits"]}
    assert found == {run["trace_id"] for run in proof.runs if run["status"] in ("failed", "lost")}


def test_failed_tasks_are_those_of_the_ledger(proof: Any) -> None:
    """Deliveries that failed or were lost, each once."""
    found = sums(proof, "etl-failed-tasks", "Status", of="Deliveries")
    expected: Counter[tuple[str]] = Counter()
    for (_, _, status), number in proof.tasks().items():
        if status in ("failed", "lost"):
            expected[(status,)] += number
    assert found == expected


def test_errors_by_pipeline_count_every_error(proof: Any) -> None:
    """Those that belong to no pipeline, too."""
    found = sums(proof, "etl-errors-by-pipeline", "Pipeline", of="Errors")
    errors = {"range": {"severity_number": {"gte": 17}}}
    assert sum(found.values()) == proof.stack.elasticsearch.ask.count("logs-*", errors)
    assert found[("fleet-aa",)] >= 2  # the library's record and Celery's


def test_log_volume_is_what_was_written(proof: Any) -> None:
    """By logger and level, as many records as the platform has in its own file."""
    written = Counter((each["logger"], LEVELS[each["level"]]) for each in proof.log_file)
    ours = {logger for logger, _ in written}
    found = sums(proof, "etl-records-by-logger", "Logger", "Level", of="Records")
    assert {key: number for key, number in found.items() if key[0] in ours} == written


def test_events_are_what_was_written(proof: Any) -> None:
    """Slow requests, retried tasks and all others of the library, by name."""
    written = Counter(
        (each["message"],) for each in proof.log_file if each["logger"].startswith("etl_telemetry.")
    )
    assert sums(proof, "etl-records-by-event", "Event", of="Records") == written


def test_slow_requests_are_what_was_written(proof: Any) -> None:
    """By route, and as slow as the file says."""
    written = [each for each in proof.log_file if each["message"] == "slow_request"]
    found = sums(proof, "etl-slow-requests-table", "Route", of="Requests")
    assert found == Counter((each["http.route"],) for each in written)
    longest = max(row["Longest, s"] for row in rows(proof, "etl-slow-requests-table"))
    assert longest == pytest.approx(max(each["duration"] for each in written))


def test_audit_trail_is_what_was_written(proof: Any) -> None:
    """Each event once: by name and outcome, by actor, and the sign-in that failed."""
    file = proof.audit_file
    found = sums(proof, "etl-audit-by-outcome", "Event", "Outcome", of="Events")
    assert found == Counter((each["message"], each["audit.outcome"]) for each in file)
    found = sums(proof, "etl-audit-by-actor", "Actor", of="Events")
    assert found == Counter((each["audit.actor"],) for each in file)
    assert rows(proof, "etl-audit-sign-ins-failed") == [{"Events": 1}]


@pytest.mark.parametrize("board", BOARDS)
def test_pictures_are_drawn(board: str, proof: Any, tmp_path: Path) -> None:
    """Of each dashboard, from the same searches; ETL_PICTURES=FOLDER keeps them for the page."""
    folder = Path(os.environ.get("ETL_PICTURES") or tmp_path)
    path = folder / f"{board}.png"
    kibana_pictures.draw(
        OBJECTS, BOARDS[board], lambda request: send(proof, request), path,
        begin=proof.begin, end=proof.end,
    )  # fmt: skip
    assert path.read_bytes().startswith(b"\x89PNG")
    assert 10_000 < path.stat().st_size < 200_000
