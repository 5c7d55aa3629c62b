"""Fill the example platform with a past: `manage.py shell` runs this, so that pages show something.

Always the same: pictures of the documentation are made from it.
"""

from __future__ import annotations

import random
from datetime import timedelta

from django.core.management import call_command
from django.utils import timezone

from apps.accounts.models import Membership, Organization, User
from apps.pipelines.models import Pipeline, PipelineRun, TaskRun
from apps.pipelines.seeding import seed
from etl_telemetry.django.models import Alert

RUNS = 260
HOURS = 48


def fill() -> None:
    """Make tables, the platform's world, runs of two days, alerts, and a user of one carrier."""
    call_command("migrate", verbosity=0)
    seed("demo")
    chance = random.Random(7)  # noqa: S311 - a test
    now = timezone.now()
    pipelines = list(Pipeline.objects.order_by("name")[:24])
    runs = [_run(chance, chance.choice(pipelines), now) for _ in range(RUNS)]
    PipelineRun.objects.bulk_create(runs)
    TaskRun.objects.bulk_create(_task(chance, run) for run in runs)
    mia = User.objects.create_user("mia", password="mia")
    Membership.objects.create(user=mia, organization=Organization.objects.get(code="UA"))
    for organization, name in (("UA", "PipelineFailing"), ("DL", "PipelineLate"), ("", "NoWorker")):
        Alert.objects.create(
            fingerprint=name, status="firing", starts_at=now - timedelta(minutes=12), labels={},
            annotations={"summary": f"{name}, since 12 minutes."}, generator_url="",
            external_url="https://alerts.example.com", receiver="", name=name, severity="critical",
            organization=organization, pipeline_name="", run_id="", trace_id="",
            received_at=now, heard_at=now, delivery="00000000-0000-0000-0000-000000000000",
        )  # fmt: skip


def _run(chance: random.Random, pipeline: Pipeline, now: object) -> PipelineRun:
    begun = now - timedelta(hours=chance.random() * HOURS)  # type: ignore[operator]
    status = chance.choices(["success", "failed", "cancelled"], [90, 8, 2])[0]
    return PipelineRun(
        pipeline=pipeline, status=status, trigger_type="schedule", started_at=begun,
        finished_at=begun + timedelta(seconds=chance.lognormvariate(2.5, 0.6)),
        error="The source did not answer." if status == "failed" else "",
    )  # fmt: skip


def _task(chance: random.Random, run: PipelineRun) -> TaskRun:
    read = chance.randrange(1_000, 50_000)
    rejected = chance.randrange(40)
    load = {
        "read": read, "processed": read - rejected, "rejected": rejected, "skipped": 0,
        "reasons": {"no departure time": rejected},
    }  # fmt: skip
    return TaskRun(
        run=run, pipeline_name=run.pipeline.name, task_id=str(run.pk), task_name="load_flights",
        task_type="load", status="success", started_at=run.started_at,
        metrics={"steps": {"load": load}},
    )  # fmt: skip
