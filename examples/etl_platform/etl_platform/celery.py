"""The Celery application: `celery -A etl_platform worker` and `... beat`.

Celery's Django fix-up runs `django.setup()` in the worker and in beat. That calls
`ready()` of `etl_telemetry.django`, which sets the telemetry up: nothing to do here.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_platform.settings")

app = Celery("etl_platform")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
