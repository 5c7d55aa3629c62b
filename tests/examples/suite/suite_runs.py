"""The life of a run: trigger, finish, cancel, and the ledger that is kept of it."""

from __future__ import annotations

import contextlib
import csv
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.test import TestCase, override_settings
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler
from kombu.exceptions import OperationalError

from apps.accounts.models import User
from apps.pipelines import ledger, services, staging
from apps.pipelines.incidents import schema
from apps.pipelines.models import Pipeline, PipelineRun, TaskRun
from apps.pipelines.seeding import seed
from apps.pipelines.tasks.runs import start_scheduled_run
from apps.warehouse.models import DelayLine, Flight, Observation, QuarantinedFlight
from etl_telemetry.django.audit.models import AuditRow
from etl_telemetry.django.ledger import end_overdue, finish_run
from nyc.schema import SchemaError

Status = PipelineRun.Status
MANUAL = PipelineRun.Trigger.MANUAL


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class PlatformCase(TestCase):
    """A seeded platform whose tasks run in this process."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.world = seed("demo")

    def setUp(self) -> None:
        current_app.conf.task_always_eager = True
        self.addCleanup(setattr, current_app.conf, "task_always_eager", False)  # noqa: FBT003

    def run_pipeline(self, name: str, **options: Any) -> PipelineRun:
        """Run a pipeline to its end, in this process."""
        pipeline = Pipeline.objects.get(name=name)
        # A chain that is executed in this process raises what its task has raised.
        with contextlib.suppress(Exception), self.captureOnCommitCallbacks(execute=True):
            run = services.trigger(pipeline, trigger_type=MANUAL, options=options)
        run.refresh_from_db()
        return run

    def unpublished(self, name: str = "flights-oo-ewr") -> PipelineRun:
        """Return a pending run whose tasks were never published."""
        return PipelineRun.objects.create(
            pipeline=Pipeline.objects.get(name=name), trigger_type=MANUAL
        )

    def rows(self, name: str) -> dict[str, tuple[int, ...]]:
        """Return (read, processed, rejected, skipped) by step."""
        steps = ledger.dump()["rows"][name]
        return {step: tuple(rows[count] for count in ledger.COUNTS) for step, rows in steps.items()}


class Seeding(PlatformCase):
    def test_world_is_complete(self) -> None:
        """There are 16 organizations and 71 pipelines, each with its schedule in beat."""
        kinds = {kind: Pipeline.objects.filter(kind=kind).count() for kind in Pipeline.Kind.values}
        assert kinds == {"flights": 35, "weather": 3, "airports": 16, "delays": 16, "fleet": 1}
        assert self.world["organizations"] == 16
        names = set(PeriodicTask.objects.values_list("name", flat=True))
        assert names >= {
            f"pipeline {name}" for name in Pipeline.objects.values_list("name", flat=True)
        }

    def test_seeding_again_changes_only_the_token(self) -> None:
        """A second seed keeps password, pipelines and edited connectors."""
        pipeline = Pipeline.objects.get(name="fleet-aa")
        pipeline.source.options["columns"] = {"tail_number": "tailnum"}
        pipeline.source.save()
        again = seed()
        assert (again["password"], again["pipelines"]) == ("", 71)
        assert again["token"] != self.world["token"]
        assert User.objects.get(username="demo").check_password("demo")
        pipeline.source.refresh_from_db()
        assert pipeline.source.options["columns"] == {"tail_number": "tailnum"}

    def test_beat_can_read_every_schedule(self) -> None:
        """The scheduler that beat runs with finds an entry for each pipeline."""
        tasks = PeriodicTask.objects.filter(name__startswith="pipeline ")
        entries = {task.name: DatabaseScheduler.Entry(task, app=current_app) for task in tasks}
        assert len(entries) == 71
        assert entries["pipeline weather-ewr"].schedule.minute == {5}
        assert entries["pipeline weather-ewr"].kwargs == {"pipeline_name": "weather-ewr"}

    def test_schedule_keeps_beat_in_step(self) -> None:
        """Disabling or deleting a schedule reaches beat's own table."""
        schedule = Pipeline.objects.get(name="weather-ewr").schedule
        schedule.enabled = False
        schedule.save()
        task = PeriodicTask.objects.get(name="pipeline weather-ewr")
        assert (task.enabled, task.crontab.minute, task.crontab.hour) == (False, "5", "*")
        schedule.delete()
        assert not PeriodicTask.objects.filter(name="pipeline weather-ewr").exists()


class Life(PlatformCase):
    def test_rolled_back_request_leaves_nothing(self) -> None:
        """A run that is triggered in a transaction that rolls back was never there."""
        pipeline = Pipeline.objects.get(name="flights-oo-ewr")
        with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
            services.trigger(pipeline, trigger_type=MANUAL)
            transaction.set_rollback(True)
        assert (PipelineRun.objects.count(), TaskRun.objects.count()) == (0, 0)

    def test_tasks_are_published_after_the_commit(self) -> None:
        """Inside of the transaction nothing is published yet."""
        pipeline = Pipeline.objects.get(name="flights-oo-ewr")
        with self.captureOnCommitCallbacks(execute=True):
            run = services.trigger(pipeline, trigger_type=MANUAL)
            assert not TaskRun.objects.exists()
        run.refresh_from_db()
        assert run.status == Status.SUCCESS

    def test_unreachable_broker_fails_the_run(self) -> None:
        """A run whose tasks can't be published ends as failed, with the reason."""
        with patch(
            "apps.pipelines.flows.flow_of", side_effect=OperationalError("connection refused")
        ):
            run = self.run_pipeline("flights-oo-ewr")
        assert run.status == Status.FAILED
        assert run.error == "The broker can't be reached: connection refused"

    def test_tasks_of_a_cancelled_run_do_nothing(self) -> None:
        """A run is cancelled once, and that is audited; a task that comes later reads no row."""
        run = self.unpublished()
        with patch.object(current_app.control, "revoke") as revoke:
            assert services.cancel(run, reason="Enough.")
            assert not services.cancel(run, reason="Again.")
        assert revoke.call_count == 1
        events = AuditRow.objects.filter(name="pipeline_execution_cancelled")
        assert list(events.values_list("resource_id", "organization")) == [(str(run.pk), "OO")]
        services.publish(run.pk)
        assert ledger.dump()["rows"] == {}
        assert not Flight.objects.exists()

    def test_overdue_run_is_lost_once(self) -> None:
        """A run that nobody finishes in time is ended as lost, a younger one is not."""
        old, _ = self.unpublished(), self.unpublished()
        seconds = settings.ETL_TELEMETRY["RUN_DEADLINE"]
        long_ago = timezone.now() - timedelta(seconds=seconds + 1)
        PipelineRun.objects.filter(pk=old.pk).update(started_at=long_ago)
        assert (end_overdue(), end_overdue()) == (1, 0)
        old.refresh_from_db()
        assert (old.status, old.error) == ("lost", "Nobody finished the run in time.")

    def test_run_again_is_the_next_attempt(self) -> None:
        """Running again keeps the options and counts the attempt."""
        first = self.run_pipeline("flights-oo-ewr", since="2013-01-01", until="2013-01-31")
        second = services.run_again(first, user=None)
        assert (second.attempt, second.trigger_type, second.options) == (2, "retry", first.options)

    def test_beat_starts_a_run(self) -> None:
        """What beat calls starts a scheduled run, and none of a pipeline that is switched off."""
        with self.captureOnCommitCallbacks(execute=True):
            start_scheduled_run.delay(pipeline_name="flights-oo-ewr")
        assert PipelineRun.objects.get().trigger_type == "schedule"
        Pipeline.objects.update(is_active=False)
        assert start_scheduled_run.delay(pipeline_name="flights-oo-ewr").result is None


class Pipelines(PlatformCase):
    def test_flights_are_loaded_or_set_aside(self) -> None:
        """The load accounts for each row, replaces its window, and cleans up after itself."""
        for _ in range(2):
            run = self.run_pipeline("flights-yv-lga")
            assert run.status == Status.SUCCESS
        assert (Flight.objects.count(), QuarantinedFlight.objects.count()) == (544, 57)
        one = {
            "extract": (601, 601, 0, 0),
            "transform": (601, 544, 1, 56),
            "load": (544, 544, 0, 0),
        }
        twice = {step: tuple(2 * count for count in counts) for step, counts in one.items()}
        assert self.rows("flights-yv-lga") == twice
        assert not (settings.DATA_DIR / "staging" / str(run.pk)).exists()

    def test_window_skips_the_other_days(self) -> None:
        """A run over a window reads the whole file and skips the days outside."""
        self.run_pipeline("flights-oo-lga", since="2013-09-01", until="2013-09-30")
        read, processed, rejected, skipped = self.rows("flights-oo-lga")["extract"]
        assert (read, rejected, processed + skipped) == (26, 0, 26)
        assert processed == 20
        assert set(Flight.objects.values_list("day__month", flat=True)) == {9}

    def test_weather_has_one_observation_per_hour(self) -> None:
        """The hour that happened twice is rejected once; missing measurements are NULL."""
        self.run_pipeline("weather-ewr")
        assert self.rows("weather-ewr")["transform"] == (8703, 8702, 1, 0)
        assert Observation.objects.count() == 8702
        assert Observation.objects.filter(pressure=None).exists()

    def test_delay_report_meets_in_a_chord(self) -> None:
        """Twelve months are transformed side by side and loaded as one report."""
        self.run_pipeline("flights-yv-lga")
        self.run_pipeline("weather-lga")
        run = self.run_pipeline("delays-yv")
        assert run.status == Status.SUCCESS, run.error
        types = [task.task_type for task in run.task_runs.all()]
        assert types == ["extract", *["transform"] * 12, "load"]
        rows = self.rows("delays-yv")
        assert rows["extract"] == (601, 601, 0, 0)
        assert rows["transform"] == (601, 544, 1, 56)
        assert rows["join_planes"][0] == rows["join_weather"][0] == 601
        assert sum(DelayLine.objects.values_list("scheduled", flat=True)) == 601
        assert sum(DelayLine.objects.values_list("cancelled", flat=True)) == 56

    def test_renamed_column_fails_in_a_well_told_way(self) -> None:
        """The run's error names the column, its probable new name, and what to do."""
        run = self.run_pipeline("fleet-aa")
        assert run.status == Status.FAILED
        assert run.error == (
            "apps.pipelines.tasks.fleet.extract_fleet: SchemaError: AA.csv: column 'tailnum' is "
            "missing. The header has tail_number, year, type, manufacturer, model, engines, "
            "seats, speed, engine. Renamed? 'tailnum' looks like 'tail_number'. Ask the owner of "
            "the source, or map the new name in the connector's options "
            '({"columns": {"<new name>": "<our name>"}}).'
        )
        assert ledger.dump()["tasks"]["fleet-aa"] == {
            "extract": {"failed": 1},
            "other": {"success": 1},
        }

    def test_mapped_column_cures_the_pipeline(self) -> None:
        """What the error advises helps."""
        source = Pipeline.objects.get(name="fleet-aa").source
        source.options["columns"] = {"tail_number": "tailnum"}
        source.save()
        assert self.run_pipeline("fleet-aa").status == Status.SUCCESS
        assert self.rows("fleet-aa")["load"] == (3322, 3322, 0, 0)

    def test_schema_incident_breaks_and_repairs_a_source(self) -> None:
        """The first call makes the pipeline fail, the second call repairs its source."""
        with contextlib.suppress(SchemaError), self.captureOnCommitCallbacks(execute=True):
            said = schema()
        assert "renamed tailnum to tail_number" in said
        run = PipelineRun.objects.get()
        assert (run.pipeline.name, run.status) == ("flights-yv-lga", Status.FAILED)
        assert "repaired" in schema()
        assert self.run_pipeline("flights-yv-lga").status == Status.SUCCESS


class Ledger(PlatformCase):
    def test_step_that_fails_is_not_counted(self) -> None:
        """A load that raises leaves no rows of its step, and its transaction nothing at all."""
        with patch("apps.pipelines.tasks.flights.insert_csv", side_effect=[6, KeyError("disk")]):
            run = self.run_pipeline("flights-oo-ewr")
        assert (run.status, run.error.endswith("KeyError: 'disk'")) == (Status.FAILED, True)
        assert set(self.rows("flights-oo-ewr")) == {"extract", "transform"}
        assert not Flight.objects.exists()

    def test_delivery_after_a_dead_worker_marks_the_first_as_lost(self) -> None:
        """Each delivery has its row: the one whose worker died is lost."""
        run = self.unpublished()
        TaskRun.objects.create(
            run=run, pipeline_name="flights-oo-ewr", task_id="t1", task_type="other",
            task_name="apps.pipelines.tasks.runs.hold",
        )  # fmt: skip
        hold = current_app.tasks["apps.pipelines.tasks.runs.hold"]
        about = {"run_id": str(run.pk), "pipeline_name": "flights-oo-ewr", "seconds": 0}
        hold.apply(kwargs=about, task_id="t1")
        assert ledger.dump()["tasks"]["flights-oo-ewr"]["other"] == {"lost": 1, "success": 1}

    def test_task_that_kills_its_workers_is_given_up(self) -> None:
        """After three lost deliveries the task fails instead of killing a fourth worker."""
        run = self.unpublished()
        for _ in range(3):
            TaskRun.objects.create(
                run=run, pipeline_name="x", task_id="t1", task_type="other",
                task_name="hold", status=TaskRun.Status.LOST,
            )  # fmt: skip
        hold = current_app.tasks["apps.pipelines.tasks.runs.hold"]
        about = {"run_id": str(run.pk), "pipeline_name": "flights-oo-ewr", "seconds": 0}
        result = hold.apply(kwargs=about, task_id="t1")
        assert (
            str(result.result)
            == "apps.pipelines.tasks.runs.hold killed its worker 3 times in a row."
        )

    def test_unfinished_work_is_named(self) -> None:
        """The dump says what is under way, so that nobody compares too early."""
        before = ledger.dump()["unfinished"]["unreported_events"]
        self.unpublished()
        done = self.unpublished()
        finish_run(done, Status.SUCCESS)
        assert ledger.dump()["unfinished"] == {
            "runs": 1, "tasks": 0, "unreported_runs": 1, "unreported_events": before,
        }  # fmt: skip

    def test_list_of_runs_is_complete(self) -> None:
        """With `--runs` the dump tells about each run what the API tells."""
        run = self.run_pipeline("flights-oo-ewr")
        (told,) = ledger.dump(with_runs=True)["run_list"]
        assert told == ledger.run_as_dict(run)
        assert (told["pipeline"], told["organization"], told["status"], told["trigger"]) == (
            "flights-oo-ewr", "OO", "success", "manual",
        )  # fmt: skip
        assert len(told["trace_id"]) == 32


class Staging(PlatformCase):
    def test_half_a_file_is_never_seen(self) -> None:
        """A task that is killed while it writes leaves the file of the last good attempt."""
        with staging.writing("r", "x.csv") as target:
            target.writerow(["good"])
        with contextlib.suppress(csv.Error), staging.writing("r", "x.csv") as target:
            target.writerow(["half"])
            target.writerow(None)
        with staging.reading("r", "x.csv") as rows:
            assert list(rows) == [["good"]]
        staging.discard("r")
