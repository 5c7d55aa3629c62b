"""The Django application: one line in `INSTALLED_APPS` switches telemetry on."""

from __future__ import annotations

import os
import sys

from django.apps import AppConfig

from etl_telemetry.django import asgi, audit, checks, commands
from etl_telemetry.errors import ConfigurationError
from etl_telemetry.instrumentation.table import tell_missing_extra
from etl_telemetry.setup import setup_telemetry


class EtlTelemetryConfig(AppConfig):
    """Set telemetry up when Django is ready, in every process that uses Django."""

    name = "etl_telemetry.django"
    label = "etl_telemetry"  # By default it would be "django".
    verbose_name = "ETL telemetry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Call `setup_telemetry()`; Django has applied `LOGGING` by now.

        Raise `ConfigurationError` in a process that serves, where the configuration
        is wrong; a command that exports nothing goes on, and `check` warns.
        """
        checks.connect()
        telemetry = setup_telemetry()
        wrong = audit.problems(telemetry.config)
        if wrong and not commands.is_silent(sys.argv, os.environ, telemetry.config.silent_commands):
            raise ConfigurationError(wrong)
        audit.connect(telemetry.config)
        if telemetry.active:
            asgi.answer_lifespan()
            tell_missing_extra("django", telemetry.config)
