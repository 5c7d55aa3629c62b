"""OpenTelemetry-first instrumentation for ETL platforms on Django and Celery."""
