"""The application `warehouse`."""

from django.apps import AppConfig


class WarehouseConfig(AppConfig):
    """Where data goes: the tables that the pipelines fill."""

    name = "apps.warehouse"
    label = "warehouse"
