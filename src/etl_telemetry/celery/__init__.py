"""Celery: life cycle of workers, runs over many tasks, task metrics and logs."""
