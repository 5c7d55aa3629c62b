"""Create the platform's world: 16 carriers, their connectors, pipelines and schedules.

Doing it again changes nothing but the demo user's token (and password, if one is given).
"""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.accounts.models import ApiToken, Membership, Organization, User
from apps.connectors.models import Connector
from apps.pipelines.models import Pipeline, Schedule
from nyc import landing

DEMO_USER = "demo"
WEATHER_OWNERS = {"EWR": "UA", "JFK": "B6", "LGA": "DL"}
"""Who loads the weather of an airport: the carrier with its hub there."""
GENTLY = {"JFK": 2_000}
"""Rows a second that the owner of an airport's weather allows: its run takes some seconds."""
FLEET_OWNER = "AA"
Kind = Pipeline.Kind


def seed(password: str = "") -> dict[str, Any]:
    """Create what is missing and return how to sign in: username, password, token."""
    zone = landing.prepare(settings.DATA_DIR)
    with transaction.atomic():
        user, password = _user(password)
        token = ApiToken.issue(user, "demo")
        organizations = {
            code: Organization.objects.get_or_create(code=code, defaults={"name": name})[0]
            for code, name in landing.carriers(zone)
        }
        for organization in organizations.values():
            Membership.objects.get_or_create(
                user=user, organization=organization, defaults={"role": Membership.Role.OPERATOR}
            )
            _derived(organization, user, token)
        for carrier, origin in landing.flight_files(zone):
            _flights(organizations[carrier], origin, user)
        for origin, carrier in WEATHER_OWNERS.items():
            _weather(organizations[carrier], origin, user)
        _fleet(organizations[FLEET_OWNER], user)
    return {
        "username": user.get_username(),
        "password": password,
        "token": token,
        "organizations": len(organizations),
        "pipelines": Pipeline.objects.count(),
    }


def _user(password: str) -> tuple[User, str]:
    user, created = User.objects.get_or_create(
        username=DEMO_USER,
        defaults={"email": "demo@example.com", "is_staff": True, "is_superuser": True},
    )
    if created or password:
        password = password or secrets.token_urlsafe(12)
        user.set_password(password)
        user.save()
    return user, password


def _connector(
    organization: Organization, name: str, kind: str, options: dict[str, Any], **fields: Any
) -> Connector:
    connector, _ = Connector.objects.update_or_create(
        organization=organization,
        name=name,
        defaults={"kind": kind, **fields},
        create_defaults={"kind": kind, "options": options, **fields},
    )
    return connector


def _pipeline(
    source: Connector,
    name: str,
    kind: str,
    options: dict[str, Any],
    *,
    user: User,
    when: tuple[str, str, str],
    stage: int = 1,
) -> None:
    pipeline, created = Pipeline.objects.get_or_create(
        name=name,
        defaults={
            "organization": source.organization,
            "kind": kind,
            "source": source,
            "options": options,
            "stage": stage,
            "created_by": user,
        },
    )
    if created:
        minute, hour, day = when
        Schedule.objects.create(pipeline=pipeline, minute=minute, hour=hour, day_of_month=day)


def _flights(organization: Organization, origin: str, user: User) -> None:
    code = organization.code
    source = _connector(
        organization, f"flights-{origin.lower()}", "file", {"path": f"flights/{code}-{origin}.csv"}
    )
    options = {"carrier": code, "origin": origin}
    name = f"flights-{code}-{origin}".lower()
    _pipeline(source, name, Kind.FLIGHTS, options, user=user, when=("15", "2", "*"))


def _weather(organization: Organization, origin: str, user: User) -> None:
    name = f"weather-{origin}".lower()
    file: dict[str, Any] = {"path": f"weather/{origin}.csv"}
    if origin in GENTLY:
        file["rows_per_second"] = GENTLY[origin]
    source = _connector(organization, name, "file", file)
    options = {"origin": origin}
    _pipeline(source, name, Kind.WEATHER, options, user=user, when=("5", "*", "*"))


def _fleet(organization: Organization, user: User) -> None:
    code = organization.code
    source = _connector(organization, "fleet-vendor", "file", {"path": f"fleet/{code}.csv"})
    name = f"fleet-{code}".lower()
    options = {"carrier": code}
    _pipeline(source, name, Kind.FLEET, options, user=user, when=("30", "4", "*"))


def _derived(organization: Organization, user: User, token: str) -> None:
    """Create what reads the warehouse: enrichment and report, one of each per carrier."""
    options = {"carrier": organization.code}
    api = _connector(
        organization, "airports-api", "http",
        {"url": "{platform}/api/reference/airports"}, credentials={"token": token},
    )  # fmt: skip
    _pipeline(
        api, f"airports-{organization.code}".lower(), Kind.AIRPORTS, options,
        user=user, when=("0", "5", "*"), stage=2,
    )  # fmt: skip
    warehouse = _connector(organization, "warehouse", "sql", {"database": "default"})
    _pipeline(
        warehouse, f"delays-{organization.code}".lower(), Kind.DELAYS, options,
        user=user, when=("0", "6", "1"), stage=2,
    )  # fmt: skip
