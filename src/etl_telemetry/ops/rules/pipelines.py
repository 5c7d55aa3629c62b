"""Alerts on pipelines: do their runs succeed, come at all, and keep their rows."""

from __future__ import annotations

from etl_telemetry.ops.rules.model import WHOLE, Alert, Group, number, percent, span
from etl_telemetry.ops.thresholds import Thresholds

_PIPELINE = "deployment_environment_name, organization, pipeline_name"
_STEP = "deployment_environment_name, pipeline_name, step_type"
_DAILY = 5
"""Runs a week from which on a pipeline is one that runs every working day."""
_WEEK = 7 * 24
_ENDED = f"sum by ({_PIPELINE}) (increase(pipeline_executions_total"
_NAMED = "{{ $labels.pipeline_name }} of {{ $labels.organization }}"


def group(limits: Thresholds) -> Group:
    """Return the alerts of pipelines."""
    return Group(
        "pipelines",
        (
            _failure_rate(limits),
            _long_running(limits),
            _too_many_active(limits),
            _not_fresh(limits),
            _did_not_run(limits),
            _rejected_rows(limits),
            _rows_mismatch(),
        ),
    )


def _failure_rate(limits: Thresholds) -> Alert:
    ended = f"""sum by ({_PIPELINE}) (
    increase(pipeline_executions_total{{status!="cancelled"}}[30m])
  )"""
    return Alert(
        name="PipelineFailureRate",
        wait="2m",
        expr=f"""
(
  sum by ({_PIPELINE}) (
    increase(pipeline_executions_total{{status=~"failed|lost"}}[30m])
  )
  /
  {ended}
) > {number(limits.failure_ratio)}
and
  {ended} > {number(limits.failure_minimum - 0.5)}
""",
        summary=f"{_NAMED}: {{{{ $value | humanizePercentage }}}} of the runs fail",
        description=(
            f"More than {percent(limits.failure_ratio)} of the runs that ended within 30 minutes "
            f"failed or were lost (at least {number(limits.failure_minimum)} runs ended)."
        ),
    )


def _long_running(limits: Thresholds) -> Alert:
    age = f"max by ({_PIPELINE}) (pipeline_active_run_age_seconds)"
    duration = "pipeline_execution_duration_seconds"
    usual = """{status="success"}[7d]))"""
    factor = number(limits.long_run_factor)
    return Alert(
        name="PipelineLongRunning",
        # The mean too: the histogram's last bound is an hour, and quantiles end there.
        expr=f"""
(
  {age}
  > {factor} * histogram_quantile(
    0.95, sum by ({_PIPELINE}, le) (increase({duration}_bucket{usual}
  )
  and
  {age}
  > {factor} * (
    sum by ({_PIPELINE}) (increase({duration}_sum{usual}
    /
    (sum by ({_PIPELINE}) (increase({duration}_count{usual} > 0)
  )
  and
  {age} > {number(limits.long_run_minutes * 60)}
)
or
(
  {age} > {number(limits.long_run_hours * 3600)}
  unless
  sum by ({_PIPELINE}) (increase({duration}_count{usual} > 0
)
""",
        summary=f"{_NAMED}: a run has been active for {{{{ $value | humanizeDuration }}}}",
        description=(
            f"More than {factor} times what runs of this pipeline took in the last week, or "
            f"more than {number(limits.long_run_hours)} hours where there is no week to compare "
            "with: it hangs, its worker is gone, or there is far more to do than usual."
        ),
        dashboard="etl-pipeline",
    )


def _too_many_active(limits: Thresholds) -> Alert:
    return Alert(
        name="TooManyActiveRuns",
        expr=f"""
max by (deployment_environment_name) (active_pipeline_runs) > {number(limits.active_runs)}
""",
        summary=f"{WHOLE} runs are pending or running",
        description=(
            f"More than {number(limits.active_runs)} runs are active: runs come faster than the "
            "workers end them, or they hang."
        ),
    )


def _not_fresh(limits: Thresholds) -> Alert:
    # Is one due at all? Half of the patience is for today's run, half for last week's.
    due = f"[1d] offset {span(_WEEK + _patience(limits) / 2)}"
    return Alert(
        name="PipelineNotFresh",
        expr=f"""
(
  time() - max by ({_PIPELINE}) (pipeline_last_success_timestamp_seconds)
  > {number(limits.freshness_hours * 3600)}
)
and
  {_ENDED}[7d] offset 1d)) > {_DAILY - 0.5}
and
  {_ENDED}{due})) > 0.5
""",
        summary=f"{_NAMED}: no success for {{{{ $value | humanizeDuration }}}}",
        description=(
            f"The last run that succeeded is more than {number(limits.freshness_hours)} hours "
            "ago: whoever reads the pipeline's data reads old data. Only for pipelines with at "
            f"least {_DAILY} runs a week, and after a day on which one ended last week, too; "
            "PipelineDidNotRun is for the others."
        ),
    )


def _did_not_run(limits: Thresholds) -> Alert:
    # Patience on both sides: a run that comes later than last week is late, and not lost.
    patience = _patience(limits)
    return Alert(
        name="PipelineDidNotRun",
        wait="15m",
        expr=f"""
(
  round({_ENDED}[1d] offset {span(_WEEK + patience)}))) > 0
)
unless
(
  round({_ENDED}[{span(24 + patience)}]))) > 0
)
""",
        summary=f"{_NAMED}: no run ended within {number(24 + patience)} hours",
        description=(
            f"{WHOLE} runs ended on the same day of last week, none within the last "
            f"{number(24 + patience)} hours: nothing triggers the pipeline, or its runs do not end."
        ),
    )


def _patience(limits: Thresholds) -> float:
    """Return the hours that a daily run may be late."""
    return max(0.0, limits.freshness_hours - 24)


def _rejected_rows(limits: Thresholds) -> Alert:
    read = f"sum by ({_STEP}) (increase(data_rows_read_total[1h]))"
    return Alert(
        name="HighRejectedRows",
        expr=f"""
(
  sum by ({_STEP}) (increase(data_rows_rejected_total[1h]))
  /
  {read}
) > {number(limits.rejected_ratio)}
and
  {read} > {number(limits.rejected_minimum)}
""",
        summary=(
            "{{ $labels.pipeline_name }}, step {{ $labels.step_type }}: "
            "{{ $value | humanizePercentage }} of the rows are rejected"
        ),
        description=(
            f"More than {percent(limits.rejected_ratio)} of the rows read within an hour were "
            "refused as wrong: the source has changed, or a check is too strict."
        ),
        dashboard="etl-pipeline",
    )


def _rows_mismatch() -> Alert:
    # Raw sums, not increases: they are exact, and one export carries all four of a process. For
    # 20 minutes, or a script would be forgotten before anybody is told.
    read = f"sum by ({_STEP}) (last_over_time(data_rows_read_total[20m]))"
    others = '{__name__=~"data_rows_(processed|rejected|skipped)_total"}'
    return Alert(
        name="RowsMismatch",
        wait="10m",
        expr=f"""
(
  {read}
  -
  (
    sum by ({_STEP}) (last_over_time({others}[20m]))
    or
    0 * {read}
  )
) != 0
""",
        summary=(
            "{{ $labels.pipeline_name }}, step {{ $labels.step_type }}: "
            f"{WHOLE} rows are unaccounted for"
        ),
        description=(
            "Rows read differ from rows processed, rejected and skipped: the step loses rows, "
            "doubles them, or does not count some. The log event rows_mismatch names the runs."
        ),
        dashboard="etl-pipeline",
    )
