"""The application `connectors`."""

from django.apps import AppConfig


class ConnectorsConfig(AppConfig):
    """Where data comes from: files, SQL databases, HTTP APIs."""

    name = "apps.connectors"
    label = "connectors"
