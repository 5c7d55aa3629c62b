"""A host whose models have names of their own. `HOST_DATABASES`: alias=URL pairs; SQLite else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

FOLDER = Path(os.environ["HOST_FOLDER"])


def database(url: str) -> dict[str, object]:
    """Return Django's entry for a URL of PostgreSQL or MySQL, or for the name of a SQLite file."""
    if "://" not in url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FOLDER / url,
            "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE"},
        }
    parts = urlsplit(url)
    mysql = parts.scheme == "mysql"
    if mysql:
        import pymysql

        pymysql.install_as_MySQLdb()
    host = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair).get("host")
    return {
        "ENGINE": f"django.db.backends.{'mysql' if mysql else 'postgresql'}",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username or "postgres",
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(host or parts.hostname or ""),
        "PORT": str(parts.port or ""),
    }


SECRET_KEY = "tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "work",
    "etl_telemetry.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {
    alias: database(url)
    for alias, url in json.loads(
        os.environ.get("HOST_DATABASES", '{"default": "host.sqlite3"}')
    ).items()
}
for entry in DATABASES.values():
    entry["ATOMIC_REQUESTS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = os.environ.get("HOST_USE_TZ", "true") == "true"
TIME_ZONE = os.environ.get("HOST_TIME_ZONE", "Europe/Vienna")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

MODELS = {
    "organization": {"model": "work.Team", "name": "code", "members": "member__person"},
    "pipeline": {"model": "work.Flow", "name": "title", "organization": "team"},
    "run": {
        "model": "work.Execution",
        "pipeline": "flow",
        "status": "state",
        "started_at": "begun",
        "finished_at": "ended",
        "trigger": "origin",
        "attempt": "try_no",
        "error": "problem",
        "deadline": "due",
        "cancel_requested": "stop_asked",
        "statuses": {
            "pending": "QUEUED",
            "running": "RUNNING",
            "success": "DONE",
            "failed": ["ERROR", "TIMEOUT"],
            "cancelled": "STOPPED",
            "lost": "VANISHED",
        },
        "databases": list(DATABASES),
    },
    "task_run": {
        "model": "work.Job",
        "run": "execution",
        "metrics": "stats",
        "rows": ["rows", "steps.load.processed"],
    },
    "connector": {"model": "work.Source", "name": "label", "type": "kind", "organization": "team"},
}
ETL_TELEMETRY = {"SERVICE_NAME": "host", "MODELS": MODELS}
if "HOST_SETTING" in os.environ:
    ETL_TELEMETRY = json.loads(os.environ["HOST_SETTING"])
if "HOST_MODELS" in os.environ:
    ETL_TELEMETRY["MODELS"] = json.loads(os.environ["HOST_MODELS"])
