"""Settings of the project under test; the database comes from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import dj_url

FOLDER = Path(os.environ["FOLDER"])
SECRET_KEY = "audit-tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "shop",
    "etl_telemetry.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = dj_url.databases(os.environ.get("DATABASE"), FOLDER)
DATABASES["default"]["ATOMIC_REQUESTS"] = True
ETL_TELEMETRY = {
    "SERVICE_NAME": "shop",
    "TRACES_EXPORTER": "none",
    "METRICS_EXPORTER": "none",
    "LOG_DELAY": 0.1,
    "AUDIT_MODELS": ["shop.Pipeline", "shop.Connector", "shop.Node", "shop.Special"],
    "AUDIT_HIDDEN_FIELDS": ["shop.Connector.options"],
    "AUDIT_TENANT_FIELD": "organization__code",
    "AUDIT_PROXIES": ["10.0.0.0/8"],
}
