"""What `manage.py check` says of the webhook, where it is mounted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.urls import URLResolver, get_resolver

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django.alerts.access import read_tokens

NO_TOKEN = "etl_telemetry.W020"  # noqa: S105 - the id of a check
"""The webhook refuses everything."""
BAD_FILE = "etl_telemetry.W021"
"""The file with its tokens cannot be read, or holds what is none."""
NO_PROXY = "etl_telemetry.W022"
"""A client certificate is asked for, and no proxy may confirm one."""

_NAME = "etl_telemetry_alert_webhook"


def check_webhook(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Report why the webhook would refuse what Alertmanager sends."""
    telemetry = setup.active()
    if telemetry is None or telemetry.problems or not getattr(settings, "ROOT_URLCONF", None):
        return []
    if not _is_mounted(get_resolver().url_patterns):
        return []
    return _problems(telemetry.config)


def _problems(config: Config) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    tokens = list(config.alert_tokens)
    if config.alert_tokens_file:
        try:
            read, wrong = read_tokens(Path(config.alert_tokens_file))
        except (OSError, ValueError) as error:
            read, wrong = [], []
            text = f"{config.alert_tokens_file} cannot be read: {type(error).__name__}."
            hint = "ETL_TELEMETRY_ALERT_TOKENS_FILE names it; this process must be able to read it."
            found.append(checks.Warning(text, hint=hint, id=BAD_FILE))
        tokens += read
        if wrong:
            lines = ", ".join(map(str, wrong))
            text = f"{config.alert_tokens_file} has no valid token on line {lines}."
            hint = "A token has 16 to 512 letters, digits and -._~+/, and a line of its own."
            found.append(checks.Warning(text, hint=hint, id=BAD_FILE))
    if not tokens:
        text = "The alert webhook refuses everything: no token is configured."
        hint = (
            "Write one token a line into a file and name it in ETL_TELEMETRY_ALERT_TOKENS_FILE; "
            "Alertmanager shows it by authorization.credentials_file."
        )
        found.append(checks.Warning(text, hint=hint, id=NO_TOKEN))
    if config.alert_client_headers and not config.alert_proxies:
        text = "The alert webhook refuses everything: no proxy may confirm a client certificate."
        hint = "Name the proxy in ETL_TELEMETRY_ALERT_PROXIES, or clear ALERT_CLIENT_HEADERS."
        found.append(checks.Warning(text, hint=hint, id=NO_PROXY))
    return found


def _is_mounted(patterns: Iterable[object]) -> bool:
    """Tell whether the webhook is somewhere among URL patterns."""
    return any(
        _is_mounted(pattern.url_patterns)
        if isinstance(pattern, URLResolver)
        else getattr(pattern, "name", None) == _NAME
        for pattern in patterns
    )
