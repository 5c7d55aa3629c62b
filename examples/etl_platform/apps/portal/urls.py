"""Addresses of the pages and of the API."""

from django.urls import path

from apps.portal import api, reference, views

urlpatterns = [
    path("", views.pipelines, name="pipelines"),
    path("pipelines/<slug:name>/", views.pipeline, name="pipeline"),
    path("pipelines/<slug:name>/run", views.start_run, name="start-run"),
    path("runs/<uuid:run_id>/", views.run, name="run"),
    path("runs/<uuid:run_id>/cancel", views.cancel_run, name="cancel-run"),
    path("runs/<uuid:run_id>/again", views.run_again, name="run-again"),
    path("api/pipelines", api.pipelines, name="api-pipelines"),
    path("api/pipelines/<slug:name>/runs", api.start_run, name="api-start-run"),
    path("api/runs", api.runs, name="api-runs"),
    path("api/runs/<uuid:run_id>", api.run, name="api-run"),
    path("api/runs/<uuid:run_id>/cancel", api.cancel_run, name="api-cancel-run"),
    path("api/error", api.error, name="api-error"),
    path("api/reference/airports", reference.airports, name="api-airports"),
]
