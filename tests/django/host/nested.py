"""The dashboard inside of a namespace, behind a path that captures something."""

from __future__ import annotations

from django.urls import include, path

app_name = "outer"
urlpatterns = [path("board/", include("etl_telemetry.django.urls", namespace="inner"))]
