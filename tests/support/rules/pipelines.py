"""Cases of the alerts on pipelines."""

from __future__ import annotations

import itertools

from support.rules.case import Case, labels, series

DAILY = {"organization": "acme", "pipeline_name": "daily"}
OTHER = {"organization": "globex", "pipeline_name": "daily"}


def _runs(status: str, of: dict[str, str] = DAILY, instance: str = "a") -> str:
    return series("pipeline_executions_total", instance, status=status, **of)


def _rows(kind: str, step: str = "load", instance: str = "a") -> str:
    of = {"pipeline_name": "daily", "step_type": step}
    return series(f"data_rows_{kind}_total", instance, **of)


_SUCCESS = series("pipeline_last_success_timestamp_seconds", **DAILY)
_LOAD = labels(pipeline_name="daily", step_type="load")

_FAILURE_RATE = (
    Case(
        "PipelineFailureRate", "fires", "a quarter of the runs fail",
        {_runs("failed"): "0+1x40", _runs("success"): "0+3x40"},
        at="40m", firing=(labels(**DAILY),), summary="daily of acme: 25% of the runs fail",
    ),
    Case(
        "PipelineFailureRate", "quiet", "one of twenty fails",
        {_runs("failed"): "0+1x40", _runs("success"): "0+19x40"}, at="40m",
    ),
    Case(
        "PipelineFailureRate", "quiet", "two of two fail, which says little",
        {_runs("failed"): "0x20 1 2x18"}, at="39m",
    ),
    Case(
        "PipelineFailureRate", "missing", "no run has failed yet: there is no such series",
        {_runs("success"): "0+3x40"}, at="40m",
    ),
    Case(
        "PipelineFailureRate", "restart", "both counters begin again, the share stays low",
        {_runs("failed"): "0+1x20 0+1x20", _runs("success"): "0+19x20 0+19x20"}, at="40m",
    ),
    Case(
        "PipelineFailureRate", "labels",
        "lost runs count, cancelled ones do not; another organization's pipeline is another one",
        {
            _runs("lost"): "0+1x40", _runs("success"): "0+1x40", _runs("cancelled"): "0+90x40",
            _runs("failed", OTHER): "0+0x40", _runs("success", OTHER): "0+3x40",
        },
        at="40m", firing=(labels(**DAILY),),
    ),
)  # fmt: skip

_AGE = series("pipeline_active_run_age_seconds", "observer", **DAILY)


def _took(seconds: int, of: dict[str, str] = DAILY) -> dict[str, str]:
    """Return the histogram of a pipeline whose runs take so long, one run in 4 minutes."""
    name, low, high = "pipeline_execution_duration_seconds", "600", "3600"
    of = {**of, "status": "success"}
    short = "0+1x500" if seconds <= int(low) else "0x500"
    middle = "0+1x500" if seconds <= int(high) else "0x500"
    return {
        series(f"{name}_bucket", le=low, **of): short,
        series(f"{name}_bucket", le=high, **of): middle,
        series(f"{name}_bucket", le="+Inf", **of): "0+1x500",
        series(f"{name}_sum", **of): f"0+{seconds}x500",
        series(f"{name}_count", **of): "0+1x500",
    }


_LONG = (
    Case("PipelineLongRunning", "fires", "half an hour where runs take less than ten minutes",
         {**_took(600), _AGE: "1801x500"}, at="20h", firing=(labels(**DAILY),),
         summary="daily of acme: a run has been active for 30m 1s"),
    Case("PipelineLongRunning", "quiet", "twice as long as usual",
         {**_took(600), _AGE: "1100x500"}, at="20h"),
    Case("PipelineLongRunning", "quiet", "four hours, as always: past the histogram's last bound",
         {**_took(14_400), _AGE: "15000x500"}, at="20h"),
    Case("PipelineLongRunning", "missing", "no history: seven hours are long",
         {_AGE: "25200x500"}, at="20h", firing=(labels(**DAILY),)),
    Case("PipelineLongRunning", "missing", "no history: five hours may be right",
         {_AGE: "18000x500"}, at="20h"),
    Case("PipelineLongRunning", "restart", "the run has ended and the next one is young",
         {**_took(600), _AGE: "1801x200 60x300"}, at="20h"),
    Case("PipelineLongRunning", "labels", "the same name in another organization takes long",
         {**_took(600), _AGE: "1801x500", **_took(3_600, OTHER),
          series("pipeline_active_run_age_seconds", "observer", **OTHER): "1801x500"},
         at="20h", firing=(labels(**DAILY),)),
)  # fmt: skip

_ACTIVE = series("active_pipeline_runs", "observer")
_TOO_MANY = (
    Case("TooManyActiveRuns", "fires", "eleven runs for six minutes", {_ACTIVE: "11x10"},
         at="6m", firing=(labels(),), summary="11 runs are pending or running"),
    Case("TooManyActiveRuns", "fires", "a number above a million is written out",
         {_ACTIVE: "1234567x10"}, at="6m", firing=(labels(),),
         summary="1234567 runs are pending or running"),
    Case("TooManyActiveRuns", "quiet", "ten are allowed", {_ACTIVE: "10x10"}, at="10m"),
    Case("TooManyActiveRuns", "missing", "the table cannot be read: another alert tells",
         {_ACTIVE: "11x3 stale"}, at="10m"),
    Case("TooManyActiveRuns", "restart", "two observers for a moment are not twice as many runs",
         {_ACTIVE: "6x10", series("active_pipeline_runs", "second"): "6x10"}, at="10m"),
    Case("TooManyActiveRuns", "labels", "each environment has its own",
         {_ACTIVE: "11x10", 'active_pipeline_runs{deployment_environment_name="test"}': "1x10"},
         at="10m", firing=(labels(),)),
)  # fmt: skip


def _each(*days: int, late: int = 0) -> dict[str, str]:
    """Return the series of a pipeline that succeeds in the second hour of these days.

    The last time it comes so many steps of 4 minutes later.
    """
    at = [16 + 360 * day for day in days]
    at[-1] += late
    runs, success = "0x15", "_x16"
    for number, (begin, end) in enumerate(itertools.pairwise([*at, at[-1] + 500]), start=1):
        runs += f" {number}x{end - begin - 1}"
        success += f" {begin * 240}x{end - begin - 1}"
    return {_runs("success"): runs, _SUCCESS: success}


_FRIDAY_TO_FRIDAY = (0, 3, 4, 5, 6, 7)
_OFTEN = {_runs("success"): "0+1x2700"}
_NOT_FRESH = (
    Case("PipelineNotFresh", "fires", "the last success was 27 hours ago",
         {_SUCCESS: "525600x2700", **_OFTEN}, at="173h", firing=(labels(**DAILY),),
         summary="daily of acme: no success for 1d 3h 0m 0s"),
    Case("PipelineNotFresh", "fires", "nothing on Tuesday, of a pipeline from Monday to Friday",
         _each(*_FRIDAY_TO_FRIDAY, 10), at="268h", firing=(labels(**DAILY),)),
    Case("PipelineNotFresh", "quiet", "Saturday, of a pipeline from Monday to Friday",
         _each(*_FRIDAY_TO_FRIDAY), at="197h"),
    Case("PipelineNotFresh", "quiet", "Monday, and it is late by forty minutes",
         _each(*_FRIDAY_TO_FRIDAY, 10, late=10), at="14500m"),
    Case("PipelineNotFresh", "quiet", "25 hours are within a day and its patience",
         {_SUCCESS: "525600x2700", **_OFTEN}, at="171h"),
    Case("PipelineNotFresh", "quiet", "a pipeline that runs once a week is not asked every day",
         {_SUCCESS: "0x2700", _runs("success"): "0x1 1x4000"}, at="50h"),
    Case("PipelineNotFresh", "missing", "it has never succeeded: its failures are told elsewhere",
         {_runs("failed"): "0+1x2700"}, at="174h"),
    Case("PipelineNotFresh", "restart", "a new observer reads the same time from the table",
         {_SUCCESS: "525600x2500 stale",
          series("pipeline_last_success_timestamp_seconds", "new", **DAILY): "_x2501 554400x500",
          **_OFTEN}, at="174h"),
    Case("PipelineNotFresh", "labels", "the same name in another organization is fresh",
         {_SUCCESS: "525600x2700", **_OFTEN,
          series("pipeline_last_success_timestamp_seconds", **OTHER): "0+240x2700",
          _runs("success", OTHER): "0+1x2700"},
         at="174h", firing=(labels(**DAILY),)),
)  # fmt: skip

_WEEK = 7 * 24 * 15  # steps of 4 minutes
_AT = f"{_WEEK * 4 + 600}m"
_DID_NOT_RUN = (
    Case("PipelineDidNotRun", "fires", "it ran a week ago, and not within the last day",
         {_runs("success"): f"0x15 1x{_WEEK + 500}"},
         at=_AT, firing=(labels(**DAILY),), value="1",
         summary="daily of acme: no run ended within 26 hours"),
    Case("PipelineDidNotRun", "quiet", "it ran a week ago, and an hour ago",
         {_runs("success"): f"0x15 1x{_WEEK + 120} 2x500"}, at=_AT),
    Case("PipelineDidNotRun", "quiet", "it runs each day, and is late by forty minutes",
         _each(*range(9), late=10), at="11620m"),
    Case("PipelineDidNotRun", "quiet", "it runs each week, and is late by forty minutes",
         _each(0, 7, late=10), at="10180m"),
    Case("PipelineDidNotRun", "quiet", "that it failed is another alert's matter",
         {_runs("success"): f"0x15 1x{_WEEK + 500}",
          _runs("failed"): f"0x{_WEEK + 135} 1x500"}, at=_AT),
    Case("PipelineDidNotRun", "missing", "a pipeline that is new since yesterday",
         {_runs("success"): f"_x{_WEEK} 0x15 1x500"}, at=_AT),
    Case("PipelineDidNotRun", "restart", "its counter began again with today's run",
         {_runs("success"): f"0x15 1x{_WEEK + 25} 0 1x500"}, at=_AT),
    Case("PipelineDidNotRun", "labels", "only the organization whose pipeline did not run",
         {_runs("success"): f"0x15 1x{_WEEK + 500}",
          _runs("success", OTHER): f"0x15 1x{_WEEK + 120} 2x500"},
         at=_AT, firing=(labels(**DAILY),)),
)  # fmt: skip

_REJECTED = (
    Case("HighRejectedRows", "fires", "a tenth of the rows",
         {_rows("read"): "0+100x80", _rows("rejected"): "0+10x80"},
         at="70m", firing=(_LOAD,),
         summary="daily, step load: 10% of the rows are rejected"),
    Case("HighRejectedRows", "quiet", "one in a hundred",
         {_rows("read"): "0+100x80", _rows("rejected"): "0+1x80"}, at="70m"),
    Case("HighRejectedRows", "quiet", "five of fifty rows say little",
         {_rows("read"): "0x20 50x60", _rows("rejected"): "0x20 5x60"}, at="70m"),
    Case("HighRejectedRows", "missing", "nothing was ever rejected",
         {_rows("read"): "0+100x80"}, at="70m"),
    Case("HighRejectedRows", "restart", "both counters begin again",
         {_rows("read"): "0+100x35 0+100x40", _rows("rejected"): "0+1x35 0+1x40"}, at="70m"),
    Case("HighRejectedRows", "labels", "the step that rejects, not the one before it",
         {_rows("read"): "0+100x80", _rows("rejected"): "0+10x80",
          _rows("read", "extract"): "0+100x80", _rows("rejected", "extract"): "0+0x80"},
         at="70m", firing=(_LOAD,)),
)  # fmt: skip

_MISMATCH = (
    Case("RowsMismatch", "fires", "ten rows of a hundred are neither written nor refused",
         {_rows("read"): "100x30", _rows("processed"): "85x30", _rows("rejected"): "5x30"},
         at="20m", firing=(_LOAD,), summary="daily, step load: 10 rows are unaccounted for"),
    Case("RowsMismatch", "fires", "a script that lost rows has ended a quarter of an hour ago",
         {_rows("read"): "1234667x3", _rows("processed"): "100x3"},
         at="18m", firing=(_LOAD,),
         summary="daily, step load: 1234567 rows are unaccounted for"),
    Case("RowsMismatch", "quiet", "of a script that has ended half an hour ago nobody is told",
         {_rows("read"): "100x3", _rows("processed"): "85x3"}, at="34m"),
    Case("RowsMismatch", "quiet", "every row is somewhere",
         {_rows("read"): "0+100x30", _rows("processed"): "0+80x30", _rows("rejected"): "0+15x30",
          _rows("skipped"): "0+5x30"}, at="20m"),
    Case("RowsMismatch", "missing", "rows were read, and nothing at all came of them",
         {_rows("read"): "100x30"}, at="20m", firing=(_LOAD,)),
    Case("RowsMismatch", "restart", "a process ends: its four series go together",
         {_rows("read"): "100x5 stale", _rows("processed"): "100x5 stale",
          _rows("read", instance="b"): "_x6 40x30", _rows("processed", instance="b"): "_x6 40x30"},
         at="20m"),
    Case("RowsMismatch", "labels", "two processes that each do a part add up",
         {_rows("read"): "100x30", _rows("processed"): "60x30",
          _rows("processed", instance="b"): "40x30"}, at="20m"),
)  # fmt: skip

CASES = (*_FAILURE_RATE, *_LONG, *_TOO_MANY, *_NOT_FRESH, *_DID_NOT_RUN, *_REJECTED, *_MISMATCH)
"""All of them."""
