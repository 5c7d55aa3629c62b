"""What the suites of the dashboard share: who asks, and what there is to see."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from work.models import Execution, Flow, Member, Team

from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.dashboard import access

API = "/monitoring/api/v1/"


def config(**changes: Any) -> Any:
    """Run a test with another configuration."""
    return patch.object(access, "config", lambda: replace(access_config(), **changes))


access_config = access.config


def user(name: str, *teams: Team, **facts: Any) -> Any:
    """Make a user who is a member of teams."""
    made = get_user_model().objects.create(username=name, **facts)
    for team in teams:
        Member.objects.create(team=team, person=made)
    return made


def client(who: Any) -> Client:
    """Sign somebody in."""
    signed = Client()
    signed.force_login(who)
    return signed


def ago(**length: float) -> datetime:
    """Return a time as the project keeps it."""
    return timezone.now() - timedelta(**length)


def run(flow: Flow, state: str = "DONE", *, hours: float = 1, took: float = 10) -> Execution:
    """Make a run that began some hours ago."""
    begun = ago(hours=hours)
    ended = None if state in {"QUEUED", "RUNNING"} else begun + timedelta(seconds=took)
    return Execution.objects.create(flow=flow, state=state, begun=begun, ended=ended)


def alert(name: str, organization: str, pipeline: str = "") -> Alert:
    """Make an alert that goes on."""
    now = timezone.now()
    if settings.USE_TZ is False:
        now = datetime.now()  # noqa: DTZ005 - as the project keeps its times
    return Alert.objects.create(
        fingerprint=f"{name}{organization}"[-64:], status="firing", starts_at=now, labels={},
        annotations={"summary": f"about {name}"}, generator_url="", external_url="", receiver="",
        name=name, severity="critical", organization=organization, pipeline_name=pipeline,
        run_id="", trace_id="", received_at=now, heard_at=now,
        delivery="00000000-0000-0000-0000-000000000000",
    )  # fmt: skip


@pytest.fixture
def acme() -> Team:
    """Give the team of whoever asks."""
    return Team.objects.create(code="acme")


@pytest.fixture
def other() -> Team:
    """Give a team that is none of its business."""
    return Team.objects.create(code="other")


@pytest.fixture
def ann(acme: Team) -> Client:
    """Give the client of a member of acme."""
    return client(user("ann", acme))


def get(who: Client, path: str, status: int = 200) -> Any:
    """Ask the API."""
    answer = who.get(API + path)
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    return json.loads(answer.content)
