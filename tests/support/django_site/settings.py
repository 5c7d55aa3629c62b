"""Settings of the site."""

from __future__ import annotations

HOST = "shop.example"
SECRET = "ada@example.com"

SECRET_KEY = "x"
DEBUG = False
ALLOWED_HOSTS = [HOST]
USE_TZ = True
ROOT_URLCONF = "support.django_site.views"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "etl_telemetry.django",
]
DATABASES = {
    alias: {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"file:{alias}?mode=memory&cache=shared",
    }
    for alias in ("default", "warehouse")
}
MIDDLEWARE = [
    "support.django_site.views.Gate",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {
                        "500.html": "{% load etl_telemetry %}broken: {% trace_id %}",
                        "404.html": "{% load etl_telemetry %}missing: {% trace_id %}",
                    },
                )
            ]
        },
    }
]
LOGGING = {"version": 1, "disable_existing_loggers": False}
ETL_TELEMETRY = {
    "AUDIT_TABLE": False,  # It asks who acts, and writes rows: tests/django/audit.
    "SERVICE_NAME": "shop",
    "TRACES_EXPORTER": "none",
    "METRICS_EXPORTER": "none",
    "LOGS_EXPORTER": "none",
    "SLOW_REQUEST": 1000,
    "SLOW_REQUEST_ROUTES": {"slow/*": 0.001},
    "HIGH_QUERY_COUNT_ROUTES": {"allowed/": 50},
    "EXCLUDED_PATHS": ["/healthz"],
    "TRUSTED_NETWORKS": ["10.0.0.0/8"],
    "TRACE_ID_HEADER": "X-Trace-Id",
}
