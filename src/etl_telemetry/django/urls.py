"""Mount with `path("monitoring/", include("etl_telemetry.django.urls"))`."""

from __future__ import annotations

from django.urls import path

from etl_telemetry.django.dashboard import api, assets, pages

# The names begin with `dashboard.addresses.CAPTURED`: the project captures what it likes.
app_name = "etl_telemetry"
urlpatterns = [
    path("", pages.overview, name="overview"),
    path("assets/<str:telemetry_digest>/<str:telemetry_name>", assets.asset, name="asset"),
    path("api/v1/system", api.system, name="api-system"),
    path("api/v1/pipelines", api.pipelines, name="api-pipelines"),
    path("api/v1/pipelines/<path:telemetry_key>/runs", api.runs, name="api-runs"),
    path("api/v1/pipelines/<path:telemetry_key>", api.pipeline, name="api-pipeline"),
    path("api/<path:telemetry_rest>", api.unknown),
    path("pipelines/<path:telemetry_key>/", pages.pipeline, name="pipeline"),
]
