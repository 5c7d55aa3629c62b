"""The figures as values: what a page, a report or an API shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

NEVER_RUN = "never_run"
"""Last status of a pipeline that has no run."""


@dataclass(frozen=True, slots=True)
class PipelineMetrics:
    """Figures of one pipeline over a window: the runs that began in it.

    Durations are of the runs that succeeded, in seconds: a run that fails after a second is
    not a fast one. They are zero where there is none.
    """

    pipeline_id: object
    """Primary key of the pipeline."""
    pipeline_name: str
    """Its name."""
    organization: str | None
    """Name of its organization; None where it has none."""
    total_runs: int
    """Runs that began in the window, whatever became of them."""
    successful_runs: int
    """Those that succeeded."""
    failed_runs: int
    """Those that failed or were lost."""
    cancelled_runs: int
    """Those that somebody cancelled."""
    active_runs: int
    """Those that have still to end."""
    success_rate: float
    """Successful runs among those that ended, from 0 to 1; 0 where none ended."""
    average_duration: float
    """Mean duration, in seconds."""
    median_duration: float
    """Half took longer; in seconds. See `etl_telemetry.django.figures.percentiles`."""
    p95_duration: float
    """One in twenty took longer; in seconds."""
    last_run_status: str
    """Telemetry's word for the status of the run that began last, ever; or `never_run`.
    A value of the host that is not mapped is `unknown`."""
    last_run_time: datetime | None
    """When that run began (aware where the project's times are); None: never."""
    total_rows_processed: int
    """Rows of all task runs of the window's runs."""
    average_rows_per_second: float
    """Rows of the runs that succeeded by the seconds that these took."""


@dataclass(frozen=True, slots=True)
class PipelineVolume:
    """How often a pipeline ran."""

    pipeline_id: object
    """Primary key of the pipeline."""
    pipeline_name: str
    """Its name."""
    total_runs: int
    """Runs that began in the window."""


@dataclass(frozen=True, slots=True)
class SystemMetrics:
    """Figures of all pipelines together over a window: the runs that began in it."""

    total_pipelines: int
    """Pipelines with a run in the window."""
    total_runs: int
    """Runs that began in the window."""
    active_runs: int
    """Runs that are pending or running now, whenever they began."""
    average_duration_seconds: float
    """Mean duration of the runs that succeeded, in seconds; 0 where none did."""
    top_pipelines: tuple[PipelineVolume, ...]
    """The ten that ran most often, first one first; equal ones by their name."""
