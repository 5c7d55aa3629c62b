"""All addresses of the platform."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    path("api/alerts/", include("etl_telemetry.django.alerts.urls")),
    path("monitoring/", include("etl_telemetry.django.urls")),
    path("", include("apps.portal.urls")),
]
