"""Mount with `path("monitoring/", include("etl_telemetry.django.urls"))`."""

from __future__ import annotations

from django.urls import path

from etl_telemetry.django.dashboard import api, assets, pages

app_name = "etl_telemetry"
urlpatterns = [
    path("", pages.overview, name="overview"),
    path("assets/<str:digest>/<str:name>", assets.asset, name="asset"),
    path("api/v1/system", api.system, name="api-system"),
    path("api/v1/pipelines", api.pipelines, name="api-pipelines"),
    path("api/v1/pipelines/<path:key>/runs", api.runs, name="api-runs"),
    path("api/v1/pipelines/<path:key>", api.pipeline, name="api-pipeline"),
    path("api/<path:_>", api.unknown),
    path("pipelines/<path:key>/", pages.pipeline, name="pipeline"),
]
