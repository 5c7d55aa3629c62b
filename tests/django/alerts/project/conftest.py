"""A Django project with the webhook, on the database that `ALERTS_DATABASE` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django
import pytest
from django.conf import settings
from django.core.management import call_command

from support.alert_senders import SENDERS, Send
from support.alerts import TOKEN

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
]


def database() -> dict[str, object]:
    """Return the settings of the database: a file of SQLite, or the URL of PostgreSQL."""
    named = os.environ["ALERTS_DATABASE"]
    if not named.startswith("postgresql:"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": named}
    url = urlsplit(named)
    query = dict(parse_qsl(url.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.lstrip("/"),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": query.get("host", url.hostname or ""),
        "PORT": str(url.port or ""),
    }


def configure() -> None:
    """Set Django up as strictly as a host may: login everywhere, a transaction a request."""
    Path("urls.py").write_text(
        "from django.urls import include, path\n"
        "urlpatterns = [path('api/alerts/', include('etl_telemetry.django.alerts.urls'))]\n"
    )
    settings.configure(
        SECRET_KEY="made up",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="urls",
        MIDDLEWARE=MIDDLEWARE,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "etl_telemetry.django",
        ],
        DATABASES={"default": {**database(), "ATOMIC_REQUESTS": True}},
        USE_TZ=os.environ["ALERTS_USE_TZ"] == "True",
        TIME_ZONE="America/New_York",
        DATA_UPLOAD_MAX_MEMORY_SIZE=10,
        ETL_TELEMETRY={
            "INSTRUMENTATIONS": [],
            "ALERT_TOKENS": [TOKEN, "another-token-of-this-door"],
            "ALERT_MAX_BYTES": 100_000,
            "ALERT_RATE": 1_000_000,
            "LOG_BRIDGE": False,
            "TRACES_EXPORTER": "none",
            "METRICS_EXPORTER": "none",
            "LOGS_EXPORTER": "none",
        },
    )
    django.setup()


configure()


@pytest.fixture(scope="session", autouse=True)
def _tables() -> None:
    """Make the tables."""
    call_command("migrate", verbosity=0)


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    """Begin without alerts; leave no connection of another thread behind."""
    from django.db import connections

    from etl_telemetry.django.models import Alert

    Alert.objects.all().delete()
    yield
    connections.close_all()


@pytest.fixture(params=SENDERS)
def send(request: pytest.FixtureRequest) -> Send:
    """Send by WSGI and by ASGI."""
    return SENDERS[request.param]


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """Listen to the signal."""
    from etl_telemetry.django.alerts.signals import alert_received

    found: list[Any] = []

    def listen(*, alert: Any, **_: Any) -> None:
        found.append(alert)

    alert_received.connect(listen)
    yield found
    alert_received.disconnect(listen)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the webhook another configuration."""
    from etl_telemetry.config import Config
    from etl_telemetry.django.alerts import views
    from etl_telemetry.django.alerts.webhook import Webhook

    def configure(**changed: Any) -> None:
        webhook = Webhook(Config(**{"alert_tokens": (TOKEN,), **changed}))
        monkeypatch.setattr(views, "_webhook", lambda: webhook)

    return configure
