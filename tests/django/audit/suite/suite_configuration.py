"""Names in the settings that are wrong, and what happens without the table."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest
from audit_fixtures import forget, kept
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.handlers.base import BaseHandler
from django.db import IntegrityError, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from shop.models import Note, Pipeline, Special

from etl_telemetry import audit, pipelines
from etl_telemetry.config import Config
from etl_telemetry.django import audit as django_audit
from etl_telemetry.django.audit.watching import problems
from etl_telemetry.django.models import AuditRow


def test_wrong_names_are_all_told() -> None:
    """A model or a field that does not exist would be audited, or hidden, by nobody."""
    model, field = problems(
        ["shop.Pipline", "shop.Connector"], ["shop.Connector.credentals", "name"]
    )
    assert model == (
        "audit_models must name models of this project, got 'shop.Pipline' (from AUDIT_MODELS); "
        "did you mean 'shop.Pipeline'?"
    )
    assert field == (
        "audit_hidden_fields must name fields of audit_models, got 'shop.Connector.credentals' "
        "(from AUDIT_HIDDEN_FIELDS); did you mean 'shop.Connector.credentials'?"
    )
    assert problems(["shop.connector"], ["OPTIONS", "organization_id"]) == []


def test_connecting_twice_tells_once() -> None:
    """`ready()` may be called again."""
    config = Config(audit_models=("shop.Pipeline",))
    django_audit.connect(config)
    django_audit.connect(config)
    Pipeline.objects.create(name="a")
    assert [event.name for event in kept()] == ["pipeline_created"]


def test_without_the_table_there_is_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    """`audit_table=False`: no row, no automatic event, and all of Django as it was."""
    methods = {"save_base": Pipeline.save_base, "response": BaseHandler.get_response}
    django_audit.connect(Config(audit_table=False, audit_models=("shop.Pipeline",)))
    caplog.set_level(logging.INFO, "etl_telemetry.audit")
    Pipeline.objects.create(name="a")
    audit.record("done", resource={"type": "t", "id": 1})
    assert [one.message for one in caplog.records if one.name == "etl_telemetry.audit"] == ["done"]
    assert kept() == []
    django_audit.disconnect()
    assert Pipeline.save_base is not methods["save_base"]
    assert BaseHandler.get_response is not methods["response"]


def test_cost_of_models_that_are_not_audited() -> None:
    """Not one query more."""
    with CaptureQueriesContext(connections["default"]) as queries:
        one = Note.objects.create(text="a")
        Note.objects.filter(pk=one.pk).update(text="b")
    assert len(queries) == 2


def test_cost_of_a_last_login() -> None:
    """`last_login` of a user that is not listed is not even looked at."""
    ann = User.objects.create_user("ann", password="right")
    forget()
    with CaptureQueriesContext(connections["default"]) as queries:
        ann.save(update_fields=["last_login"])
    assert len(queries) == 1


def test_a_failed_sign_in_inside_of_a_tests_transaction() -> None:
    """A `TestCase` never commits: the event is there once, not once more after the request."""
    with suppress(ZeroDivisionError), transaction.atomic():
        Client().get("/login?name=mallory&password=guess")
        assert [event.name for event in kept()] == ["user_login_failed"]
        raise ZeroDivisionError
    assert kept() == []


def test_a_failed_sign_in_without_a_request() -> None:
    """A command that authenticates somebody."""
    assert authenticate(username="mallory", password="guess") is None
    assert [(event.name, event.details) for event in kept()] == [
        ("user_login_failed", {"username": "mallory"})
    ]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the events that the logger got."""
    return [one.message for one in caplog.records if one.name == "etl_telemetry.audit"]


def test_a_run_in_a_coroutine(caplog: pytest.LogCaptureFixture) -> None:
    """Django allows no query there, and a run does not fail for its audit: the logger gets it."""
    caplog.set_level(logging.INFO, "etl_telemetry.audit")

    async def act() -> None:
        with pipelines.pipeline_run("daily", organization="acme"):
            pass

    asyncio.run(act())
    assert logged(caplog) == ["pipeline_execution_started", "pipeline_execution_finished"]
    assert kept() == []


def test_a_run_in_a_broken_transaction(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be a row any more is logged, and the transaction is rolled back as before."""
    caplog.set_level(logging.INFO, "etl_telemetry.audit")
    Special.objects.create(key="00000000-0000-0000-0000-000000000001", name="a")
    forget()
    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
        pipelines.pipeline_run("daily", organization="acme"),
    ):
        AuditRow.objects.bulk_create([AuditRow(uid="1", **NEW), AuditRow(uid="1", **NEW)])
    assert logged(caplog) == ["pipeline_execution_finished"]
    assert kept() == []


NEW = {"occurred_us": 0, "name": "a", "actor": "a", "resource_type": "a", "resource_id": "a",
       "outcome": "success", "details": "{}", "key_id": "", "seal": ""}  # fmt: skip


def test_text_that_postgresql_does_not_take() -> None:
    """NUL and lone surrogates, in names that anybody can send, stop nothing."""
    user_login_failed.send("a backend", credentials={"username": "mal\0lory\ud800"}, request=None)
    audit.record("done", actor="a\0b", resource={"type": "t", "id": "c\0d"}, details={"e": "\0"})
    assert [(event.actor, event.resource[1]) for event in kept()] == [
        ("unknown", "mal\N{REPLACEMENT CHARACTER}lory?"),
        ("a\N{REPLACEMENT CHARACTER}b", "c\N{REPLACEMENT CHARACTER}d"),
    ]
    assert kept()[1].details == {"e": "\0"}
