"""What the tests' processes do: make runs, end them, tell what the table says."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from work.models import Execution, Flow, Team

from etl_telemetry.django.audit.models import AuditRow
from etl_telemetry.django.ledger import finish_run
from etl_telemetry.django.ledger.models import Ledger
from support.ledger import WORDS

SECONDS = 2
"""How long each run took."""


def start(using: str = "default") -> Execution:
    """Make a run that is under way."""
    team, _ = Team.objects.using(using).get_or_create(code="acme")
    flows = Flow.objects.using(using)
    # Two processes may each make one at first: the name is what counts.
    flow = flows.filter(title="daily", team=team).first() or flows.create(title="daily", team=team)
    begun = timezone.now() - timedelta(seconds=SECONDS)
    return Execution.objects.using(using).create(flow=flow, state="RUNNING", begun=begun)


def end(run: Execution, status: str, using: str = "default") -> None:
    """End a run, after whole seconds."""
    finished_at = run.begun + timedelta(seconds=SECONDS)
    assert finish_run(run, status, finished_at=finished_at, using=using)


def audited() -> None:
    """Print how many audit events there are, by name, actor and tenant."""
    rows = AuditRow.objects.values_list("name", "actor", "organization")
    print(json.dumps(sorted([*row, number] for row, number in Counter(rows).items())))


def take_over() -> None:
    """Let the next process drain at once, as if the lease of the one before had passed."""
    Ledger.objects.update(held_until_us=0)


def die(*_: Any, **__: Any) -> Any:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is the last thing its process does."""
    return lambda *args, **kwargs: die(function(*args, **kwargs))


def work(seed: int, number: int, using: str = "default") -> None:
    """End runs in every way in which hosts do, some of them rolled back."""
    choose = random.Random(seed)  # noqa: S311 - a test
    for _ in range(number):
        run, state = start(using), choose.choice(sorted(WORDS))
        ended = run.begun + timedelta(seconds=SECONDS)
        way = choose.randrange(4)
        if way == 0:
            end(run, state, using)
        elif way == 1:
            run.state, run.ended = state, ended
            run.save()
        elif way == 2:
            Execution.objects.using(using).filter(pk=run.pk).update(state=state, ended=ended)
        else:
            with transaction.atomic(using=using):
                end(run, state, using)
                transaction.set_rollback(True, using=using)
