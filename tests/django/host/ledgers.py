"""What the suites of the ledger share: a pipeline, its runs, a drainer, what was counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from work.models import Execution, Flow, Team

from etl_telemetry.django.ledger import (
    Drainer,
)
from etl_telemetry.django.ledger.models import RunEnd, RunTotal


@pytest.fixture
def flow() -> Flow:
    """Make a pipeline."""
    return Flow.objects.create(title="daily", team=Team.objects.create(code="acme"))


def running(flow: Flow, **fields: Any) -> Execution:
    """Make a run that is under way, since a minute."""
    return Execution.objects.create(
        **{
            "flow": flow,
            "state": "RUNNING",
            "begun": timezone.now() - timedelta(minutes=1),
            **fields,
        }
    )


def outbox() -> dict[str, str]:
    """Return the entries: run -> status."""
    return dict(RunEnd.objects.values_list("run_id", "status"))


def totals() -> dict[tuple[str, str], int]:
    """Return what was counted: (pipeline, status) -> number."""
    return {(one.pipeline, one.status): one.count for one in RunTotal.objects.all()}


def drainer(*, delivers: Callable[[], bool] = lambda: True, lease: float = 60.0) -> Drainer:
    """Return a drainer whose exports succeed, unless told otherwise."""
    return Drainer(flush=delivers, lease=lease)
