"""The ledger: the host's run table is the truth, and its runs are counted exactly once."""

from etl_telemetry.django.ledger.drain import Drainer
from etl_telemetry.django.ledger.finish import afinish_run, finish_run
from etl_telemetry.django.ledger.state import (
    active_run_ages,
    active_runs,
    end_overdue,
    last_successes,
    waiting,
)

__all__ = [
    "Drainer",
    "active_run_ages",
    "active_runs",
    "afinish_run",
    "end_overdue",
    "finish_run",
    "last_successes",
    "waiting",
]
