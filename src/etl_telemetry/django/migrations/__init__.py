"""Migrations of the app `etl_telemetry`, written by `makemigrations`."""
