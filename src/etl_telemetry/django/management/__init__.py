"""What `manage.py` does with telemetry."""
