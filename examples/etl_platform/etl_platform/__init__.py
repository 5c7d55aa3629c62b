"""The project: settings, URLs, WSGI and ASGI entry points and the Celery application."""

from etl_platform.celery import app as celery_app

__all__ = ["celery_app"]
