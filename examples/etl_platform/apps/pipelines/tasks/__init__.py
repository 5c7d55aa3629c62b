"""The tasks, one module per kind of pipeline. Celery finds them by importing this package."""

from apps.pipelines.tasks import airports, delays, fleet, flights, runs, weather

__all__ = ["airports", "delays", "fleet", "flights", "runs", "weather"]
