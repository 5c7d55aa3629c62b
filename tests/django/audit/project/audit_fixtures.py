"""What the suite stands on: Django set up, tables made, all of them empty before each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import django
import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "audit_settings"
django.setup()

from django.apps import apps  # noqa: E402 - needs the set-up
from django.core.management import call_command  # noqa: E402
from django.core.management.color import no_style  # noqa: E402
from django.db import connections  # noqa: E402

from etl_telemetry import setup  # noqa: E402
from etl_telemetry.django import audit  # noqa: E402
from etl_telemetry.django.audit import store  # noqa: E402
from etl_telemetry.django.models import AuditRow  # noqa: E402

FILLED = {"django_content_type", "auth_permission"}


@pytest.fixture(scope="session", autouse=True)
def tables() -> Iterator[None]:
    """Make all tables; the database `bare` gets none of ours."""
    shop = list(apps.get_app_config("shop").get_models())
    for name in ("default", "second"):
        call_command("migrate", database=name, verbosity=0)
        _create(name, shop)
    _create("bare", [apps.get_model("shop.Special")])
    yield
    connections.close_all()


def _create(using: str, models: list[Any]) -> None:
    if "shop_special" not in connections[using].introspection.table_names():
        with connections[using].schema_editor() as editor:
            for model in models:
                if not model._meta.proxy:
                    editor.create_model(model)


@pytest.fixture(autouse=True)
def clean(tables: None) -> None:
    """Empty every table but the two that `migrate` has filled.

    `flush` fills these again by `post_migrate`, which takes longer than most of the tests.
    """
    for name in ("default", "second"):
        connection = connections[name]
        tables = connection.introspection.django_table_names(
            only_existing=True, include_views=False
        )
        emptied = [table for table in tables if table not in FILLED]
        connection.ops.execute_sql_flush(
            connection.ops.sql_flush(no_style(), emptied, reset_sequences=True)
        )


@pytest.fixture(autouse=True)
def connected() -> None:
    """Audit as the settings say, whatever a test did to that."""
    telemetry = setup.active()
    assert telemetry is not None
    audit.connect(telemetry.config)
    store.forget_tables()


@dataclass(frozen=True)
class Kept:
    """An audit event as it was kept."""

    name: str
    resource: tuple[str, str]
    details: dict[str, Any]
    actor: str = "unknown"
    organization: str = ""
    outcome: str = "success"


def kept(using: str = "default") -> list[Kept]:
    """Return all events, the oldest first."""
    return [
        Kept(
            row.name, (row.resource_type, row.resource_id), row.told, row.actor, row.organization,
            row.outcome,
        )
        for row in AuditRow.objects.using(using).order_by("id")
    ]  # fmt: skip


def forget(using: str = "default") -> None:
    """Delete the events so far, so that a test sees its own only."""
    AuditRow.objects.using(using).all().delete()
