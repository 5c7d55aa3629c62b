"""Mount with `path("api/alerts/", include("etl_telemetry.django.alerts.urls"))`."""

from __future__ import annotations

from django.urls import path

from etl_telemetry.django.alerts.views import alert_webhook

urlpatterns = [path("webhook", alert_webhook, name="etl_telemetry_alert_webhook")]
