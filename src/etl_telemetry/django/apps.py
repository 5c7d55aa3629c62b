"""The Django application: one line in `INSTALLED_APPS` switches telemetry on."""

from __future__ import annotations

import os
import sys

from django.apps import AppConfig

from etl_telemetry.django import asgi, audit, checks, commands, mapping
from etl_telemetry.django.dashboard.checks import problems as dashboard_problems
from etl_telemetry.errors import ConfigurationError
from etl_telemetry.instrumentation.table import tell_missing_extra
from etl_telemetry.setup import Telemetry, setup_telemetry


class EtlTelemetryConfig(AppConfig):
    """Set telemetry up when Django is ready, in every process that uses Django."""

    name = "etl_telemetry.django"
    label = "etl_telemetry"  # By default it would be "django".
    verbose_name = "ETL telemetry"
    default_auto_field = "django.db.models.BigAutoField"  # Whatever the project's own is.

    def ready(self) -> None:
        """Call `setup_telemetry()`; Django has applied `LOGGING` by now.

        Raise `ConfigurationError` in a process that serves, where the configuration or
        the mapping of the host's models is wrong; a command that exports nothing goes
        on, and `check` warns.
        """
        checks.connect()
        telemetry = setup_telemetry()
        # Switched off or not: a run that is not written now would have to be found later.
        from etl_telemetry.django.ledger import saved  # Models: not before all apps are there.

        saved.connect()
        self._refuse_wrong(telemetry)
        audit.connect(telemetry.config)
        if telemetry.active:
            asgi.answer_lifespan()
            tell_missing_extra("django", telemetry.config)

    def _refuse_wrong(self, telemetry: Telemetry) -> None:
        """Stop a process that serves with wrong models: no check runs under WSGI and Celery."""
        if commands.is_silent(sys.argv, os.environ, telemetry.config.silent_commands):
            return
        wrong = list(audit.problems(telemetry.config))
        if telemetry.active:
            wrong += [
                *mapping.problems(),
                *dashboard_problems(telemetry.config.dashboard_access),
            ]
        if wrong:
            raise ConfigurationError(wrong)
