"""What `manage.py check` says of the dashboard, where it is mounted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.urls import URLPattern, URLResolver, get_resolver

from etl_telemetry import setup
from etl_telemetry.django import mapping
from etl_telemetry.django.dashboard import access

NO_MODELS = "etl_telemetry.W030"
"""There is nothing to show."""
NOBODY = "etl_telemetry.W031"
"""Nobody but superusers sees anything."""
NO_FUNCTION = "etl_telemetry.W032"
"""The function that decides cannot be imported."""
NO_CHARTS = "etl_telemetry.W033"
"""The library that draws is not installed."""
SAME_NAMES = "etl_telemetry.W034"
"""Alerts of two organizations cannot be told apart."""

_APP = "etl_telemetry"


def check_dashboard(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Report why a page would show less than it can."""
    telemetry = setup.active()
    if telemetry is None or telemetry.problems or not getattr(settings, "ROOT_URLCONF", None):
        return []
    if not _is_mounted(get_resolver().url_patterns):
        return []
    return list(_problems(telemetry.config.dashboard_access))


def problems(path: str | None) -> list[str]:
    """Return why a process that serves cannot ask the function of the host."""
    if path is None:
        return []
    try:
        found = access.function(path)
    except (ImportError, AttributeError) as error:
        told = f"that can be imported, got {path!r}: {error}"
    else:
        if callable(found):
            return []
        told = f"of one argument, got {path!r}, which is a {type(found).__name__}"
    return [f"dashboard_access must name a function {told} (from ETL_TELEMETRY)"]


def _problems(path: str | None) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    if not mapping.usable():
        text = "The dashboard has nothing to show: no models of pipelines and runs are mapped."
        hint = "Set ETL_TELEMETRY['MODELS'], see the page 'Pipelines in your database'."
        found.append(checks.Warning(text, hint=hint, id=NO_MODELS))
    elif path is None and _members() is None:
        text = "The dashboard shows nothing to anybody but superusers: no memberships are mapped."
        hint = (
            "Set ETL_TELEMETRY['MODELS']['organization']['members'] to the lookup that leads from "
            "an organization to its users, or ETL_TELEMETRY['DASHBOARD_ACCESS'] to a function."
        )
        found.append(checks.Warning(text, hint=hint, id=NOBODY))
    elif (field := _not_unique()) is not None:
        text = (
            f"Two organizations can have the same name: {field} is not unique. Its "
            "alerts are then shown only to users who see all organizations of that name."
        )
        hint = (
            "Make it unique, or map another field: ETL_TELEMETRY['MODELS']['organization']['name']."
        )
        found.append(checks.Warning(text, hint=hint, id=SAME_NAMES))
    hint = "A process that serves stops at start-up until this is corrected."
    found += [checks.Warning(text, hint=hint, id=NO_FUNCTION) for text in problems(path)]
    if find_spec("pygal") is None:
        text = "The dashboard draws no charts: pygal is not installed."
        hint = 'pip install "etl-telemetry[dashboard]"; until then the figures are tables.'
        found.append(checks.Warning(text, hint=hint, id=NO_CHARTS))
    return found


def _members() -> str | None:
    organization = mapping.current().organization
    return None if organization is None else organization.get("members")


def _not_unique() -> str | None:
    """Return the field of the names of organizations where two can have the same one."""
    organization = mapping.current().organization
    if organization is None:
        return None
    name, meta = organization["name"], organization.model._meta
    alone = {each.name for each in meta.get_fields() if getattr(each, "unique", False)}
    alone |= {each.fields[0] for each in meta.total_unique_constraints if len(each.fields) == 1}
    return None if name in alone else f"{meta.label}.{name}"


def _is_mounted(patterns: Sequence[URLPattern | URLResolver]) -> bool:
    """Tell whether the dashboard is somewhere among URL patterns."""
    return any(
        pattern.app_name == _APP or _is_mounted(pattern.url_patterns)
        for pattern in patterns
        if isinstance(pattern, URLResolver)
    )
