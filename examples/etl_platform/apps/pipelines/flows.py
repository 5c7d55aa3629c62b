"""The chain of tasks of each kind of pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Task, chain, chord
from celery.canvas import Signature

from apps.pipelines.models import Pipeline, PipelineRun
from apps.pipelines.tasks import airports, delays, fleet, flights, runs, weather

Kind = Pipeline.Kind


def _chain(*tasks: Task) -> Callable[[dict[str, str]], Signature]:
    return lambda about: chain(*(task.si(**about) for task in tasks))


def _delay_report(about: dict[str, str]) -> Signature:
    months = [delays.transform_month.si(**about, month=month) for month in delays.MONTHS]
    return chain(delays.extract_delays.si(**about), chord(months, delays.load_delays.si(**about)))


FLOWS: dict[str, Callable[[dict[str, str]], Signature]] = {
    Kind.FLIGHTS: _chain(flights.extract_flights, flights.transform_flights, flights.load_flights),
    Kind.WEATHER: _chain(weather.extract_weather, weather.transform_weather, weather.load_weather),
    Kind.AIRPORTS: _chain(
        airports.extract_airports, airports.transform_airports, airports.load_airports
    ),
    Kind.FLEET: _chain(fleet.extract_fleet, fleet.transform_fleet, fleet.load_fleet),
    Kind.DELAYS: _delay_report,
}


def flow_of(run: PipelineRun) -> Signature:
    """Return the tasks of a run, ready to be published.

    The run's options may replace them: `{"hold": 60}` and `{"slow_sql": 5}` (seconds) are
    what `manage.py incident` uses.
    """
    about: dict[str, Any] = {"run_id": str(run.pk), "pipeline_name": run.pipeline.name}
    if "hold" in run.options:
        return runs.hold.si(**about, seconds=run.options["hold"])
    if "slow_sql" in run.options:
        return runs.query_slowly.si(**about, seconds=run.options["slow_sql"])
    return FLOWS[run.pipeline.kind](about)
