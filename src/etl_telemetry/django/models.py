"""The models of all rooms, where Django looks for them."""

from etl_telemetry.django.alerts.models import Alert

__all__ = ["Alert"]
