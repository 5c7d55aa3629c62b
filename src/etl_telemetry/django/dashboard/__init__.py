"""The dashboard: pages for people who run pipelines, and the same figures as JSON.

Mount with `path("monitoring/", include("etl_telemetry.django.urls"))`.
"""

from etl_telemetry.django.dashboard.access import ALL

__all__ = ["ALL"]
