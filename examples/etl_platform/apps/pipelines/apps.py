"""The application `pipelines`."""

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    """What runs: pipelines, schedules, runs, tasks and the ledger."""

    name = "apps.pipelines"
    label = "pipelines"

    def ready(self) -> None:
        """Keep a row of every task delivery from now on."""
        from apps.pipelines import deliveries

        deliveries.connect()
