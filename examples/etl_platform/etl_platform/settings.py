"""Settings of the platform. Everything that differs by place comes from the environment.

| variable | meaning | default |
| --- | --- | --- |
| `DATABASE_URL` | `postgresql://user:password@host:5432/name` | SQLite in the data folder |
| `DATABASE_POOL` | connections in each process' pool (PostgreSQL, psycopg 3) | no pool |
| `CACHE_URL` | `redis://host:6379/1` | this process' memory |
| `CELERY_BROKER_URL` | `redis://host:6379/0` | `redis://localhost:6379/0` |
| `CELERY_RESULT_BACKEND` | where the chord of the delay report meets | the broker |
| `ETL_PLATFORM_DATA` | folder for SQLite, landing zone, staging, logs | `data/` |
| `ETL_PLATFORM_URL` | where the web server answers | `http://127.0.0.1:8000` |
| `ETL_PLATFORM_TRACE_URL` | link to a trace, with `{trace_id}` | no link |
| `ETL_TELEMETRY_ALERT_TOKENS` | what Alertmanager shows at `/api/alerts/webhook` | it is refused |
| `DJANGO_SECRET_KEY`, `DJANGO_ALLOWED_HOSTS`, `DJANGO_DEBUG` | as in every Django project | |
"""

from __future__ import annotations

import os
from pathlib import Path

from etl_platform import environment
from etl_telemetry import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("ETL_PLATFORM_DATA") or BASE_DIR / "data").resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)
PLATFORM_URL = os.environ.get("ETL_PLATFORM_URL", "http://127.0.0.1:8000").rstrip("/")
TRACE_URL = os.environ.get("ETL_PLATFORM_TRACE_URL", "")

DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only-for-development-never-for-the-internet")
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = [
    "apps.accounts",
    "apps.connectors",
    "apps.pipelines",
    "apps.warehouse",
    "apps.portal",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "etl_telemetry.django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.portal.middleware.BearerTokenMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "etl_platform.urls"
WSGI_APPLICATION = "etl_platform.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": environment.database(os.environ, data=DATA_DIR)}
DATABASES["default"]["ATOMIC_REQUESTS"] = True
CACHES = {"default": environment.cache(os.environ)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "pipelines"
LOGOUT_REDIRECT_URL = "login"
LANGUAGE_CODE = "en-us"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
CELERY_RESULT_BACKEND = os.environ.get("CELERY_RESULT_BACKEND", CELERY_BROKER_URL)
CELERY_RESULT_EXPIRES = 3600
# Tasks talk through the staging area; only the chord's header needs results.
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# A worker that dies gives its task back, and another one does it again: every task
# replaces what it writes, so that doing it twice is the same as doing it once.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 300
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Fail a request within seconds, not minutes, when the broker is down.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5}

AIRPORTS_PAGE_SIZE = 100
AIRPORTS_REFUSE_EVERY = 20
"""The reference API answers every twentieth call with 429, as busy APIs do; 0 is never."""

# Console for people or as JSON by ENVIRONMENT; application.log, errors.log and audit.log.
LOGGING = logging_config(directory=DATA_DIR / "logs", service="etl-platform")
ETL_TELEMETRY: dict[str, object] = {
    "SERVICE_NAME": "etl-platform",
    # Commands of our own that do nothing worth telling, besides Django's, which are known.
    "SILENT_COMMANDS": ["seed", "ledger"],
    # What telemetry reads: figures, active runs, last successes, and which runs to count.
    "MODELS": {
        "organization": {"model": "accounts.Organization", "name": "code", "members": "members"},
        "pipeline": "pipelines.Pipeline",
        "run": "pipelines.PipelineRun",
        "task_run": {"model": "pipelines.TaskRun", "rows": ["steps.load.processed"]},
        "connector": {"model": "connectors.Connector", "type": "kind"},
    },
    # A run that is still active after this many seconds is ended as lost.
    "RUN_DEADLINE": 3600,
    # Who creates, changes and deletes these is in the audit trail.
    "AUDIT_MODELS": [
        "accounts.ApiToken",
        "accounts.Membership",
        "accounts.Organization",
        "connectors.Connector",
        "pipelines.Pipeline",
        "pipelines.Schedule",
    ],
    "AUDIT_TENANT_FIELD": "organization__code",
    "AUDIT_HEADS_FILE": str(DATA_DIR / "audit-heads.jsonl"),
    # The dashboard at /monitoring/ leads to the trace of each run.
    "DASHBOARD_LINKS": {"Trace": TRACE_URL} if TRACE_URL else {},
    # The pipelines call the platform's own API: such a request goes on in its caller's trace.
    "TRUSTED_NETWORKS": ["127.0.0.0/8", "::1"],
}
