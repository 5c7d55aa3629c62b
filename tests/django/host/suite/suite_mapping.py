"""The mapping of the host's models, resolved against real ones."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from work.models import Execution, Flow, Job, Team

from etl_telemetry.django import mapping
from etl_telemetry.django.mapping.resolve import resolve
from etl_telemetry.errors import ConfigurationError

SOURCE = "(from ETL_TELEMETRY['MODELS'])"
FIELDS = (
    "fields are id, flow, state, begun, ended, origin, triggered_by, try_no, problem, due, "
    "stop_asked, took, place, number, bucket, median, to_median, told_status"
)


def changed(role: str, **facts: object) -> dict[str, Any]:
    """Return the right mapping with some facts of a role changed."""
    return {**settings.MODELS, role: {**settings.MODELS[role], **facts}}


def statuses(**words: object) -> dict[str, Any]:
    """Return the right mapping with some statuses changed."""
    return changed("run", statuses={**settings.MODELS["run"]["statuses"], **words})


def without(*roles: str) -> dict[str, Any]:
    """Return the right mapping without some roles."""
    return {role: told for role, told in settings.MODELS.items() if role not in roles}


def test_right_mapping() -> None:
    """Everything is found, by the names of the host, and lookups lead over its relations."""
    models = mapping.current()
    assert (mapping.problems(), mapping.usable()) == ((), True)
    assert (models.run.model, models.pipeline.model) == (Execution, Flow)
    assert models.task_run is not None
    assert models.organization is not None
    assert (models.task_run.model, models.organization.model) == (Job, Team)
    assert dict(models.run.fields) == {
        "pipeline": "flow", "status": "state", "started_at": "begun", "finished_at": "ended",
        "trigger": "origin", "triggered_by": "triggered_by", "attempt": "try_no",
        "error": "problem", "deadline": "due", "cancel_requested": "stop_asked",
    }  # fmt: skip
    assert models.organization_name == "team__code"
    assert models.of_run("team__code") == "flow__team__code"
    assert models.rows == (("rows",), ("steps", "load", "processed"))
    assert models.statuses.active == ["QUEUED", "RUNNING"]


def test_statuses_speak_both_languages() -> None:
    """A run ends by telemetry's word or by the host's value; what is counted is the word."""
    known = mapping.current().statuses
    assert known.ending("failed") == ("failed", "ERROR")
    assert known.ending("TIMEOUT") == ("failed", "TIMEOUT")
    assert known.ending("lost") == ("lost", "VANISHED")
    assert known.ending("RUNNING") is None
    assert known.ending("running") is None
    assert known.ending("DONNE") is None
    assert known.word("STOPPED") == "cancelled"
    assert known.word("DONNE") is None


def test_a_status_that_the_host_lacks_is_a_failure_in_table_and_counters() -> None:
    """They must say the same."""
    words = {
        "pending": "QUEUED", "running": "RUNNING", "success": "DONE",
        "failed": ["ERROR", "TIMEOUT", "STOPPED", "VANISHED"],
    }  # fmt: skip
    resolution = resolve(changed("run", statuses=words))
    assert resolution.problems == []
    assert resolution.models is not None
    assert resolution.models.statuses.ending("lost") == ("failed", "ERROR")
    assert resolution.models.statuses.ending("cancelled") == ("failed", "ERROR")


def test_organization_may_be_left_out() -> None:
    """Then a pipeline names it by itself, or has none."""
    plain = resolve({**without("organization"), "connector": changed("connector")["connector"]})
    assert (plain.problems, plain.models and plain.models.organization_name) == ([], "team")
    pipeline = changed("pipeline", organization=False)["pipeline"]
    none = resolve({**without("organization", "connector"), "pipeline": pipeline})
    assert (none.problems, none.models and none.models.organization_name) == ([], None)


def test_nothing_is_mapped() -> None:
    """A project without pipelines has no problem."""
    resolution = resolve({})
    assert (resolution.problems, resolution.models) == ([], None)


def test_the_use_of_models_that_are_not_mapped_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody asks for figures, and `MODELS` is empty."""
    monkeypatch.setattr(mapping, "_resolved", lambda: resolve({}))
    with pytest.raises(ConfigurationError) as caught:
        mapping.current()
    assert caught.value.problems == (
        (
            "MODELS must map your models of pipelines and runs, got nothing (from ETL_TELEMETRY in "
            "Django's settings); at least {'pipeline': ..., 'run': ...}"
        ),
    )


WRONG = {
    "unknown role": (
        {**settings.MODELS, "runs": "work.Execution"},
        f"MODELS['runs'] is unknown {SOURCE}; did you mean 'run'?",
    ),
    "role missing": (
        without("pipeline"),
        f"MODELS must have 'pipeline', which is missing {SOURCE}",
    ),
    "no such model": (
        changed("connector", model="work.Sourc"),
        ("MODELS['connector'] must name a model such as 'shop.Run', got 'work.Sourc' "
        f"{SOURCE}; did you mean 'work.Source'?"),
    ),
    "no model": (
        changed("connector", model=None),
        ("MODELS['connector'] must name a model such as 'shop.Run', got None "
        f"{SOURCE}; name an installed one as 'app.Model'"),
    ),
    "unknown fact": (
        changed("run", begun_at="begun"),
        (f"MODELS['run']['begun_at'] is unknown {SOURCE}; known are model, pipeline, status, "
        "started_at, finished_at, trigger, triggered_by, attempt, error, deadline, "
        "cancel_requested, statuses, databases"),
    ),
    "no such field": (
        changed("run", started_at="began"),
        ("MODELS['run']['started_at'] must be the name of a field of work.Execution, got 'began' "
        f"{SOURCE}; did you mean 'begun'?"),
    ),
    "no field of the default": (
        changed("run", started_at=None),
        ("MODELS['run']['started_at'] must be the name of a field of work.Execution, and there is "
        f"no 'started_at', the default {SOURCE}; did you mean 'state'?"),
    ),
    "no name": (
        changed("run", started_at=7),
        ("MODELS['run']['started_at'] must be the name of a field of work.Execution, "
        f"got 7 {SOURCE}"),
    ),
    "not over a relation": (
        changed("run", error="flow__title"),
        ("MODELS['run']['error'] must be a field of work.Execution itself, since it is written, "
        f"got 'flow__title' {SOURCE}"),
    ),
    "no time": (
        changed("run", finished_at="state"),
        ("MODELS['run']['finished_at'] must be a date and time, got 'state', which is a CharField "
        f"{SOURCE}"),
    ),
    "no column": (
        changed("run", error="job"),
        ("MODELS['run']['error'] must be a field with a column, got 'job', which is a "
        f"ManyToOneRel {SOURCE}"),
    ),
    "no plain value": (
        statuses(lost=[["VANISHED"]]),
        (f"MODELS['run']['statuses'] must have plain values, got a list or a dictionary {SOURCE}"),
    ),
    "no JSON": (
        changed("task_run", metrics="id"),
        (f"MODELS['task_run']['metrics'] must be a JSON field, got 'id', which is a BigAutoField "
        f"{SOURCE}"),
    ),
    "no relation": (
        changed("run", pipeline="origin"),
        ("MODELS['run']['pipeline'] must be a foreign key to work.Flow, got 'origin', "
        f"which is a CharField {SOURCE}"),
    ),
    "another relation": (
        changed("run", pipeline="triggered_by"),
        ("MODELS['run']['pipeline'] must lead to work.Flow, got 'triggered_by', "
        f"which leads to auth.User {SOURCE}"),
    ),
    "members that are no users": (
        changed("organization", members="flow"),
        ("MODELS['organization']['members'] must lead to auth.User, your users, got 'flow', "
        f"which is a ManyToOneRel {SOURCE}"),
    ),
    "members that are not there": (
        changed("organization", members="member__persons"),
        ("MODELS['organization']['members'] must be the name of a field of work.Team, got "
        f"'member__persons' {SOURCE}; did you mean 'person'?"),
    ),
    "path through nothing": (
        changed("pipeline", name="title__code"),
        (f"MODELS['pipeline']['name'] must be the name of a field of work.Flow, "
        f"got 'title__code' {SOURCE}; 'title' leads to no other model"),
    ),
    "databases": (
        changed("run", databases=["default", "warehouse"]),
        ("MODELS['run']['databases'] must be aliases of DATABASES, got ['default', 'warehouse'] "
        f"{SOURCE}; known are default"),
    ),
    "rows": (
        changed("task_run", rows=["a..b"]),
        ("MODELS['task_run']['rows'] must be paths in the metrics such as "
        f"'steps.load.processed', got ['a..b'] {SOURCE}"),
    ),
    "unknown word": (
        statuses(succeeded=[]),
        (f"MODELS['run']['statuses'] must have words of telemetry as keys, got 'succeeded' {SOURCE}"
        "; did you mean 'success'?"),
    ),
    "no choice": (
        statuses(lost=["VANISHED", "GONE"]),
        ("MODELS['run']['statuses'] must have values among the choices of work.Execution.state, "
        f"got 'GONE' {SOURCE}; choices are QUEUED, RUNNING, DONE, ERROR, TIMEOUT, STOPPED, "
        "VANISHED"),
    ),
    "choice missing": (
        statuses(failed="ERROR"),
        ("MODELS['run']['statuses'] must have every choice of work.Execution.state, 'TIMEOUT' is "
        f"missing {SOURCE}; add it to one of pending, running, success, failed, cancelled, lost"),
    ),
    "twice": (
        statuses(lost=["VANISHED", "ERROR"]),
        (f"MODELS['run']['statuses'] must give each value one word, got 'ERROR' more than once "
        f"{SOURCE}"),
    ),
    "no statuses": (
        changed("run", statuses="DONE"),
        ("MODELS['run']['statuses'] must be a dictionary of words and values, got 'DONE' "
        f"{SOURCE}"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_mapping_says_what_to_change(case: str) -> None:
    """One mistake is one sentence: what, the value, where from, what is allowed, the fix."""
    setting, sentence = WRONG[case]
    resolution = resolve(setting)
    assert [sentence] == resolution.problems
    assert resolution.models is None


def test_words_without_values_are_told() -> None:
    """Without an end or a begin there is nothing to count."""
    missing = {"run": {**settings.MODELS["run"], "statuses": {}, "status": "origin"}}
    assert resolve({**settings.MODELS, **missing}).problems == [
        f"MODELS['run']['statuses'] must have a value for 'success' {SOURCE}",
        f"MODELS['run']['statuses'] must have a value for 'failed' {SOURCE}",
        f"MODELS['run']['statuses'] must have a value for 'pending' or 'running' {SOURCE}",
    ]


def test_all_problems_are_told_at_once() -> None:
    """A wrong role, model and field are three sentences."""
    setting = {"runs": "x", "run": "work.Executionn", "pipeline": {"model": "work.Flow"}}
    assert [problem.partition(" ")[0] for problem in resolve(setting).problems] == [
        "MODELS['runs']", "MODELS['run']", "MODELS['pipeline']['name']",
    ]  # fmt: skip
