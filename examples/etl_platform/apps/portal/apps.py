"""The application `portal`."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """What people and programs see: pages, the API and the reference API."""

    name = "apps.portal"
    label = "portal"
